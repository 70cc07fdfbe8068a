"""Crash or error at each named step of the real path: the real process on real servers, nothing in memory.

`steps` names the steps, `kinds` the faults, `pairs` which of them meet, `launcher` is the process that runs
into them, `chain` lets it die and its successors recover, `matrix` runs all of it, `python -m
tests.faults.failpoints` is for people. The service knows nothing of it: without the launcher there is no
failpoint anywhere.
"""
