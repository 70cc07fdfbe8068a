"""How the cost of an event grows with marks, lanes and replicas: `python -m benchmarks.growth --help`."""
