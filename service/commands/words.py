"""What a failure means in words that an operator can act on; never a value, never a secret.

`ending` and `check` tell failures with these. The errors themselves carry codes and class names, because
logs and metrics are better off with those.
"""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from aiokafka import errors as kafka_errors
from sqlalchemy.exc import DBAPIError

from service.core.errors import Unavailable, UpsertdError
from service.telemetry.failures import summary

_MIGRATE = "run `upsertd migrate`"
_SQL_WORDS = {
    1040: "the server has too many connections",
    1044: "DATABASE_URL names a database that is not there, or that this user may not use",
    1045: "access denied: DATABASE_URL has a wrong user or password",
    1049: "the server has no database of the name in DATABASE_URL",
    1054: f"a column is missing: {_MIGRATE}",
    1142: "this user lacks a right on a table",
    1146: f"a table is missing: {_MIGRATE}",
    1203: "this user has too many connections",
    1290: "the server is read-only",
    1698: "access denied: DATABASE_URL has a wrong user or password",
    1836: "the server is read-only",
    2002: "the server cannot be reached",
    2003: "the server cannot be reached",
    2006: "the connection was lost",
    2013: "the connection was lost",
    3159: "the server demands TLS: see DB_SSL_ENABLED",
    4031: "the connection was lost",
}

# Found in the error's text, which is the name of redis-py's class and the server's code; the first counts.
_REDIS_WORDS = {
    "WRONGPASS": "access denied: wrong user or password",
    "NOAUTH": "access denied: Redis demands a password",
    "NOPERM": "this user may not send the commands that are needed",
    "AuthenticationError": "access denied: wrong user or password",
    "LOADING": "Redis is still loading its data",
    "READONLY": "this Redis is a read-only replica",
    "ConnectionError": "the server cannot be reached",
    "TimeoutError": "no answer in time",
}


_LOGIN_REFUSED = "login refused: check KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"
_PROTOCOL_FITS = "does KAFKA_SECURITY_PROTOCOL fit this listener?"


def plain_words(error: UpsertdError) -> str:
    """One line: which part, what is wrong, and what the server said where no words are known."""
    if not isinstance(error, Unavailable):
        return f"{type(error).__name__}: {error}"
    return f"{error.part}: {reason(error)}"


def reason(error: Unavailable) -> str:
    """What is wrong with the part that is unavailable, without its name."""
    if error.part == "kafka":
        return str(error)
    words, code = _sql_reason(error) if error.part == "database" else (_redis_words(error), None)
    told = [words or str(error).removeprefix(f"{error.part}: "), _network_reason(error)]
    line = ": ".join(part for part in told if part)
    return line if code is None or words is None else f"{line} (SQL error {code})"


def _sql_reason(error: Unavailable) -> tuple[str | None, int | None]:
    """The words for a code of the database's, and the code."""
    code: object = error.code
    if code is None and isinstance(error.__cause__, DBAPIError):
        code = next(iter(getattr(error.__cause__.orig, "args", ())), None)
    return (_SQL_WORDS.get(code), code) if isinstance(code, int) else (None, None)


def _redis_words(error: Unavailable) -> str | None:
    told = str(error)
    return next((words for code, words in _REDIS_WORDS.items() if code in told), None)


def _network_reason(error: BaseException) -> str | None:
    """The operating system's words for why there is no connection, from the bottom of the chain."""
    link: BaseException | None = error
    found = None
    while link is not None:
        if isinstance(link, OSError) and not isinstance(link, TimeoutError):
            found = _os_words(link) or found
        link = link.__cause__ or link.__context__
    return found


def _os_words(error: OSError) -> str | None:
    if isinstance(error, socket.gaierror):
        return "host name not found"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "the server's certificate is not trusted"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason}" if error.reason else "TLS failed"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return summary(error).partition(": ")[2] or None


# ---------------------------------------------------------------- Kafka


@contextmanager
def kafka_explained() -> Iterator[None]:
    """Let an `Unavailable` of Kafka say why no connection came about: aiokafka only logs that."""
    failures = _ConnectFailures()
    client_log = logging.getLogger("aiokafka")
    client_log.addHandler(failures)
    try:
        yield
    except Unavailable as error:
        if error.part != "kafka" or failures.latest is None:
            raise
        # A broker's own refusal says more than a connection that failed somewhere on the way.
        told = failures.latest if isinstance(error.__cause__, TimeoutError) else str(error)
        raise Unavailable(told, part="kafka") from error
    finally:
        client_log.removeHandler(failures)


class _ConnectFailures(logging.Handler):
    """Keeps why aiokafka could not connect, from its log records: (host, port or node, …, error)."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.latest: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        arguments = record.args if isinstance(record.args, tuple) else ()
        error = arguments[-1] if arguments else None
        if isinstance(error, Exception):
            place = ":".join(map(str, arguments[:-1]))
            # aiokafka names the brokers it was told of by address, the others by their number.
            broker = place if ":" in place else f"broker {place}"
            self.latest = f"{broker}: {_kafka_words(error)}"


# By class; a subclass comes before its base.
_KAFKA_WORDS: tuple[tuple[type[Exception], str], ...] = (
    (kafka_errors.SaslAuthenticationFailed, _LOGIN_REFUSED),
    (kafka_errors.AuthenticationFailedError, _LOGIN_REFUSED),
    (kafka_errors.UnsupportedSaslMechanismError, "the broker does not offer this KAFKA_SASL_MECHANISM"),
    (kafka_errors.IllegalSaslStateError, f"the broker expects no login here: {_PROTOCOL_FITS}"),
    (kafka_errors.KafkaConnectionError, f"the broker closed the connection: {_PROTOCOL_FITS}"),
    (ConnectionResetError, f"the broker closed the connection: {_PROTOCOL_FITS}"),
    (TimeoutError, "no answer"),
)


def _kafka_words(error: Exception) -> str:
    network = _network_reason(error)
    return network or next(
        (words for kind, words in _KAFKA_WORDS if isinstance(error, kind)), type(error).__name__
    )
