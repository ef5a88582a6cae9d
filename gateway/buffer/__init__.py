"""A store's own disk: every reading until the cloud's receipt, and the raw bytes it came from.

`outbox` is the front door. Carrying batches to the cloud is `gateway.uplink`'s.
"""
