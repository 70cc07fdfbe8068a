"""The seed of a run, printed and repeated as in the end-to-end tests."""

from __future__ import annotations

from tests.e2e.conftest import seed

__all__ = ["seed"]
