"""What is played, by theme: each scenario ends with what the invariants say, which must be nothing.

`python -m tests.planted` and the tests find them through the bugs that they catch (`tests.planted.bugs`).
"""
