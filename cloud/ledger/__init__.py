"""The ledger: every reading once, who it belongs to and why, and what could not be read at all.

`store` is the way in and out; `tables` is its shape. Judging readings is `cloud.ingest.assess`'s, drawing them is
`cloud.series`' and the CRM's.
"""
