"""Where the time of an event goes, stage by stage: `python -m benchmarks.stages --help`."""
