"""The bench: figures worth repeating, one JSON line each."""
