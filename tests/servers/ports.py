"""Free ports on loopback that stay free for a server while it is down. Called by the server classes."""

from __future__ import annotations

import random
import socket

# Below the range that systems hand out to outgoing connections (Linux: from 32768): there, a client that
# retries against a server that is down may be given the server's own port, and then talks to itself.
_LOWEST, _HIGHEST = 20000, 32000

_handed_out: set[int] = set()


def free_port(preferred: int | None = None) -> int:
    """`preferred` if it is free, else any free port of 127.0.0.1 that this process has not handed out yet."""
    if preferred is not None and _is_free(preferred):
        _handed_out.add(preferred)
        return preferred
    while True:
        # Not seeded by anybody: runs side by side must not try the same ports in the same order.
        port = random.SystemRandom().randint(_LOWEST, _HIGHEST)
        if port not in _handed_out and _is_free(port):
            _handed_out.add(port)
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as candidate:
        # As servers bind: what is left of closed connections on the port does not count.
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
