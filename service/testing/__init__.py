"""In-memory source, sink and cache, bound by the same contract tests as the real ones."""
