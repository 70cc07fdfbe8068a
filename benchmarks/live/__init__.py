"""Traffic on a service that runs, and what is seen of it: for `benchmarks.latency` and `benchmarks.soak`."""
