"""Servers that clients reach by a proxy: where they are told that the server is.

The outages, the sleepers of `ownership` and the chaos runs have these.
"""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from tests.faults.proxy import Proxy
from tests.servers import Kafka
from tests.servers.ports import free_port

_LISTENER = "BEHIND"


def kafka_behind(*proxies: Proxy) -> Kafka:
    """A broker that tells whoever comes by a proxy that this is its address.

    Each proxy has a listener of its own, and forwards to it.
    """
    names = [f"{_LISTENER}{number}" for number in range(len(proxies))]
    port = free_port()
    seen = [f"{name}://127.0.0.1:{proxy.port}" for name, proxy in zip(names, proxies, strict=True)]
    kafka = Kafka(
        port=port,
        protocols=names,
        properties={
            "advertised.listeners": ",".join([f"PLAINTEXT://127.0.0.1:{port}", *seen]),
            "listener.security.protocol.map": ",".join(
                f"{name}:PLAINTEXT" for name in ("CONTROLLER", "PLAINTEXT", *names)
            ),
        },
    )
    for name, proxy in zip(names, proxies, strict=True):
        proxy.server_port = int(kafka.address(name).rpartition(":")[2])
    return kafka


def at_port(url: str, port: int) -> str:
    """`url` at another port of this machine."""
    parts = urlsplit(url)
    login, _, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{port}"))
