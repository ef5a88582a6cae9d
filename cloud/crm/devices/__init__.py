"""The meters: whose they are and where they were last seen."""
