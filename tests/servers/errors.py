"""Why a test has no server: it cannot be had here, or it did not start."""

from __future__ import annotations


class ServerMissing(Exception):
    """The server, or what a test wants to do with it, cannot be had on this machine: tests are skipped."""


class ServerFailed(Exception):
    """The server was found but does not work; the message ends with the tail of its log."""
