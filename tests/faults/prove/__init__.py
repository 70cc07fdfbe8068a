"""The proof as one command: `python -m tests.faults.prove --minutes 10` (`make prove MINUTES=10`).

`parts` runs simulation, failpoints, planted bugs and chaos, `report` holds what they found, `page` shows it.
"""
