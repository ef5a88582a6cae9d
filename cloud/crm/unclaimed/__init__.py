"""Readings nobody owns yet: given to a member by staff, and taken back."""
