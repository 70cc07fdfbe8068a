"""Chaos: replicas under load on real servers, while everything around them fails by a seeded schedule.

`python -m tests.faults.chaos --minutes 10 --seed 7` runs it. `faults` lists what can fail, `schedule` draws
from it, `run` plays it and has the judges of `tests.e2e` look at what is left.
"""
