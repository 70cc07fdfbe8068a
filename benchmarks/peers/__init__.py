"""upsertd beside other ways into SQL, on the same records: `python -m benchmarks.peers --help`."""
