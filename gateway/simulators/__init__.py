"""The device side: virtual meters written from the Bluetooth specifications, and people who use them.

Nothing here imports `gateway.drivers`: a simulator that shared code with a driver could only agree with it.
"""
