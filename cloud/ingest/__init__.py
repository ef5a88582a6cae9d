"""From the broker to the ledger, and the two readers that run over the ledger afterwards.

`consumer` moves bytes, `intake` stores what they say, `attribution` decides whose a reading is; `worker` then runs
`assess` (rules to tasks) and `project` (time series). The ledger itself is `cloud.ledger`'s.
"""
