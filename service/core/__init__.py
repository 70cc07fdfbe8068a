"""The ground: types, ports, errors and the pure decisions. Imports nothing of ours."""
