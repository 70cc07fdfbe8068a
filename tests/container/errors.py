"""Why `python -m tests.container` ends before its end."""

from __future__ import annotations


class CheckFailed(Exception):
    """The image, or what runs it, does not do what it should; the message is for people."""
