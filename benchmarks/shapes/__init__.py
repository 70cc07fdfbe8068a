"""Loads of other shapes: a replay storm, hot keys, large records: `python -m benchmarks.shapes --help`."""
