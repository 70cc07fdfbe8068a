"""Two commits measured by turns on the same servers: `python -m benchmarks.compare --help`."""
