"""The ledger: every reading once, who it belongs to and why, and what could not be read at all.

`store` is the way in and out, `changes` what is said of a reading later, `dead_letters` what nobody could read.
Judging readings is `cloud.ingest.assess`'s, drawing them `cloud.series`' and the CRM's.
"""
