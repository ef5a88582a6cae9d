"""The contract between a gateway and the cloud: words, messages, their bytes, and the topics they travel on.

Everything here is pure: no I/O, no clock, no randomness. The gateway owns it (it is nearer the patient); the
cloud imports it and never the other way round.
"""
