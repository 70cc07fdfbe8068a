"""The commands of `upsertd`, one module each; `service.__main__` loads the one that is asked for."""
