"""Hostile input: whatever bytes arrive, the decoder says event or dead letter, and SQL holds what it said.

`reading` says by specification 1, with a parser of its own (`strict_json`) and without any code of the
service, what a record must become. `growing` makes valid records, extremes of every column among them,
`mutating` breaks them, `judging` holds the decoder against the reading, `histories` and `stores` hold what
the sink wrote, read back through the plain drivers, against the oracle. `corpus/` keeps the inputs that
showed something once; `python -m tests.faults.hostile --minutes 5` looks for more.
"""
