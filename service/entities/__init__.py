"""What can be synchronised: one file per entity, one line each in `registry.py`."""
