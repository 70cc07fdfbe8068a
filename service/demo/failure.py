"""Why a demo ends without a verdict."""

from __future__ import annotations


class DemoFailed(Exception):
    """The demo itself cannot go on; the message says why, in a line for people."""


class Interrupted(Exception):
    """The demo was interrupted before anything had happened that could be judged."""
