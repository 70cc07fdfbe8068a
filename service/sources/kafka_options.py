"""What the connection to Kafka needs to know, as plain values, and what aiokafka makes of them.

`app.py` fills `KafkaOptions` from the settings; `kafka_admin` builds its client from `connection_settings`,
`kafka` its group member from `consumer_settings`. Wrong values surface here, before anything is connected.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field

SECURITY_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
SASL_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")

# A broker holds the answer to a JoinGroup back until every member has drained: a member has this long for
# it, and a request has to outlive it.
REBALANCE_TIMEOUT_MS = 60_000
REQUEST_TIMEOUT_MS = REBALANCE_TIMEOUT_MS + 5_000
HEARTBEAT_SECONDS = 3
# A lane may wait for its database for as long as it takes, without costing the membership.
MAX_POLL_INTERVAL_MS = 10 * 365 * 24 * 3600 * 1000

MAX_PARTITION_FETCH_BYTES = 1024 * 1024
FETCH_MAX_BYTES = 16 * 1024 * 1024
# A partition that was drained while a fetch is under way waits for its answer: this bounds the delay.
FETCH_MAX_WAIT_MS = 100


@dataclass(frozen=True, slots=True)
class KafkaOptions:
    """Where the brokers are, who we are and how we prove it. Passwords stay out of its repr.

    `bootstrap_servers` is a comma-separated list of host:port; file names are PEM files. Without
    `ssl_cafile` the system's certificate authorities count.
    """

    bootstrap_servers: str
    group_id: str
    topics: tuple[str, ...]
    client_id: str = "upsertd"
    session_timeout_seconds: float = 30
    metadata_max_age_seconds: float = 30
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = "PLAIN"
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    ssl_cafile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    ssl_key_password: str | None = field(default=None, repr=False)
    ssl_check_hostname: bool = True


def connection_settings(options: KafkaOptions) -> dict[str, object]:
    """The keyword arguments that every aiokafka client of ours shares.

    Raises `ValueError` for options that contradict each other, `OSError` (`ssl.SSLError` among them) for
    certificate files that cannot be read.
    """
    settings: dict[str, object] = {
        "bootstrap_servers": options.bootstrap_servers,
        "client_id": options.client_id,
        "metadata_max_age_ms": round(options.metadata_max_age_seconds * 1000),
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
        "security_protocol": _known("security protocol", options.security_protocol, SECURITY_PROTOCOLS),
    }
    if options.security_protocol.startswith("SASL"):
        settings |= _sasl_settings(options)
    if options.security_protocol.endswith("SSL"):
        settings["ssl_context"] = _ssl_context(options)
    return settings


def as_it_is(key: bytes | None) -> bytes | None:
    """Reads keys of our consumers: it also tells `kafka_reading` which consumers are ours."""
    return key


def consumer_settings(options: KafkaOptions) -> dict[str, object]:
    """The keyword arguments of our member of the group; raises as `connection_settings` does."""
    session_seconds = options.session_timeout_seconds
    return connection_settings(options) | {
        "group_id": options.group_id,
        "enable_auto_commit": False,
        "auto_offset_reset": "none",
        "isolation_level": "read_committed",
        "session_timeout_ms": round(session_seconds * 1000),
        "heartbeat_interval_ms": round(min(HEARTBEAT_SECONDS, session_seconds / 6) * 1000),
        "rebalance_timeout_ms": REBALANCE_TIMEOUT_MS,
        "max_poll_interval_ms": MAX_POLL_INTERVAL_MS,
        "max_partition_fetch_bytes": MAX_PARTITION_FETCH_BYTES,
        "fetch_max_bytes": FETCH_MAX_BYTES,
        "fetch_max_wait_ms": FETCH_MAX_WAIT_MS,
        "key_deserializer": as_it_is,
    }


def _known(what: str, value: str, values: tuple[str, ...]) -> str:
    if value not in values:
        raise ValueError(f"the {what} must be one of {', '.join(values)}")
    return value


def _sasl_settings(options: KafkaOptions) -> dict[str, object]:
    if not options.sasl_username or options.sasl_password is None:
        raise ValueError(f"{options.security_protocol} needs a user name and a password")
    return {
        "sasl_mechanism": _known("SASL mechanism", options.sasl_mechanism, SASL_MECHANISMS),
        "sasl_plain_username": options.sasl_username,
        "sasl_plain_password": options.sasl_password,
    }


def _ssl_context(options: KafkaOptions) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=options.ssl_cafile)
    context.check_hostname = options.ssl_check_hostname
    if options.ssl_certfile:
        # Without a password OpenSSL would ask for one on the terminal.
        password = options.ssl_key_password or ""
        context.load_cert_chain(options.ssl_certfile, options.ssl_keyfile, password)
    return context
