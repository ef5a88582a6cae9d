"""The MicroPython dock: slots, a small ring of readings, and the frames the gateway reads."""
