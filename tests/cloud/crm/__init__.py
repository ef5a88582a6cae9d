"""Tests of the CRM's web side."""
