"""The documentation, held to its word: its commands are run, its examples decoded, its links followed."""
