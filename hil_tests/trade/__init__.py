"""A shop's trade: forty virtual meters of all families at two counters, one real gateway, and what came of it.

`meters` says what the forty are, `shop` is the counter they stand on, `gateway` the process under test, `truth`
the comparison with the ledger. `python -m hil_tests.trade` runs it.
"""
