"""upsertd measured against a naive consumer on real servers: `python -m benchmarks --help`."""
