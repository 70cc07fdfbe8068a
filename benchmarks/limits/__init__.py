"""What bounds the service beyond one machine, in numbers: `python -m benchmarks.limits --help`."""
