"""Alembic's environment. `python -m cloud migrate` runs it; a new revision is made as CONTRIBUTING.md says."""
