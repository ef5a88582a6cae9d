"""The power-cut rig: records every write of a process and rebuilds each state a power cut could have left.

`kill -9` proves nothing about power, since the page cache survives it. Here the process runs under strace; `disk`
plays its writes back up to any moment, and past the last sync lets them be lost, torn, reordered or spoiled.
`python -m hil_tests.powercut` prints the counts.
"""
