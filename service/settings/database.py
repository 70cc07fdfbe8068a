"""The database that the rows go to."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator
from typing import Annotated

from pydantic import Field, SecretStr
from pydantic.functional_validators import AfterValidator
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from service.settings.forms import Otherwise, SwitchOff, Unit, Whole, wrong_form
from service.settings.problems import Problem
from service.settings.reading import Group, variable
from service.settings.tls import Tls, TlsFile

# Each kind of database, with the spellings of its scheme.
SCHEMES = {
    "mysql": ("mysql", "mariadb", "mysql+aiomysql", "mariadb+aiomysql"),
    "postgresql": ("postgresql", "postgres", "postgresql+asyncpg"),
    "sqlite": ("sqlite", "sqlite+aiosqlite"),
}

# What a URL's query may say: TLS in the words of DB_SSL_*, and what the driver takes as it is.
_TLS_QUERY = frozenset({"ssl_ca", "ssl_cert", "ssl_key", "ssl_verify"})
# Where a server listens on a socket of the file system, the query names that in place of a host.
_SOCKET = {"mysql": "unix_socket", "postgresql": "host"}
_DRIVER_QUERY = {
    "mysql": frozenset({"charset", "unix_socket"}),
    "postgresql": frozenset({"host"}),
    "sqlite": frozenset[str](),
}
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


def _check_url(secret: SecretStr) -> SecretStr:
    try:
        url = make_url(secret.get_secret_value())
    except (ArgumentError, ValueError):
        # The parser's message may quote the password.
        raise wrong_form("must be a URL such as mysql://user:password@host:3306/database") from None
    if why := _wrong_scheme(url) or _wrong_place(url) or _wrong_query(url):
        raise wrong_form(why)
    return secret


def _kind(url: URL) -> str | None:
    return next((kind for kind, schemes in SCHEMES.items() if url.drivername in schemes), None)


def _wrong_scheme(url: URL) -> str | None:
    if _kind(url) is None:
        return "must begin with mysql://, mariadb://, postgresql:// or sqlite://"
    return None


def _wrong_place(url: URL) -> str | None:
    if _kind(url) == "sqlite":
        return _wrong_file(url)
    if not url.database:
        return "names no database: put its name behind the host, as in mysql://host/shop"
    if not url.host and _SOCKET[str(_kind(url))] not in url.query:
        return "names no host"
    return None if url.port is None or 1 <= url.port <= 65535 else "must have a port from 1 to 65535"


def _wrong_file(url: URL) -> str | None:
    if url.host:
        return "has two slashes too few or a host too many: sqlite:///relative.db, sqlite:////absolute.db"
    if not url.database or url.database.startswith((":memory:", "file:")):
        return "must name a file, as in sqlite:///shop.db: what is only in memory is lost"
    return None


def _wrong_query(url: URL) -> str | None:
    kind = str(_kind(url))
    takes = _DRIVER_QUERY[kind] | (frozenset[str]() if kind == "sqlite" else _TLS_QUERY)
    # The key is not quoted: behind an unescaped question mark stands the rest of a password.
    if url.query.keys() - takes:
        known = ", ".join(sorted(takes)) or "none"
        return f"has an unknown parameter behind the question mark (known are: {known})"
    if any(isinstance(value, tuple) for value in url.query.values()):
        return "has a parameter twice"
    if url.query.get("charset", "utf8mb4") != "utf8mb4":
        return "must not ask for another charset than utf8mb4"
    return (
        None if str(url.query.get("ssl_verify", "true")) in _FLAGS else "must have ssl_verify=true or =false"
    )


class DatabaseSettings(Group):
    """Database"""

    url: Annotated[SecretStr, AfterValidator(_check_url)] = Field(
        validation_alias="DATABASE_URL",
        description="`mysql://user:password@host:3306/database`; `mariadb://`, `mysql+aiomysql://` and "
        "`mariadb+aiomysql://` mean the same. `postgresql://user:password@host:5432/database` likewise, and "
        "`sqlite:///file.db` for one service on one machine. Special characters in the password are "
        "percent-encoded. TLS as `?ssl_ca=…&ssl_cert=…&ssl_key=…&ssl_verify=…`, or by `DB_SSL_…`.",
    )
    pool_size: Annotated[Whole, Unit("connections")] = Field(
        default=5,
        ge=1,
        le=100,
        validation_alias="DB_CONNECTION_POOL_SIZE",
        description="How many connections there are at most; a lane that finds none waits.",
    )
    ssl_enabled: Annotated[bool | None, Otherwise("`true` when a TLS file is named")] = Field(
        default=None,
        validation_alias="DB_SSL_ENABLED",
        description="Whether the connection is encrypted; `true` alone trusts the system's authorities.",
    )
    ssl_ca_file: Annotated[str | None, Otherwise("the system's authorities")] = Field(
        default=None,
        validation_alias="DB_SSL_CA",
        description="PEM file of the authorities that may vouch for the server.",
    )
    ssl_certificate_file: str | None = Field(
        default=None, validation_alias="DB_SSL_CERT", description="PEM file of our own certificate."
    )
    ssl_key_file: Annotated[str | None, Otherwise("in the certificate's file")] = Field(
        default=None,
        validation_alias="DB_SSL_KEY",
        description="PEM file of our certificate's key, not encrypted.",
    )
    ssl_verify: Annotated[bool, SwitchOff("`false`: encrypted, but to whom is anybody's guess")] = Field(
        default=True,
        validation_alias="DB_SSL_VERIFY",
        description="Whether the server's certificate and host name are checked.",
    )

    @property
    def connection_url(self) -> str:
        """The URL for `service.database`, password included, TLS left out (`ssl_context`)."""
        url = self._parsed().difference_update_query(_TLS_QUERY)
        return url.set(drivername=str(_kind(url))).render_as_string(hide_password=False)

    def ssl_context(self) -> ssl.SSLContext | None:
        """The context for the connections, None without TLS."""
        return self._tls().context() if self._uses_tls else None

    def problems(self) -> Iterable[Problem]:
        if _kind(self._parsed()) == "sqlite" and self._ssl_fields:
            return [Problem("DB_SSL_*", "set without effect: a file has no connection to encrypt")]
        if self._query_keys and self._ssl_fields:
            return [Problem("DATABASE_URL and DB_SSL_*", "both speak of TLS: use one of them")]
        if self._ssl_fields and not self._uses_tls and self._ssl_fields != {"ssl_enabled"}:
            names = (variable(type(self).model_fields[name]) for name in sorted(self._ssl_fields))
            return [Problem(", ".join(names), "set without effect: DB_SSL_ENABLED is not true")]
        return self._tls().problems() if self._uses_tls else ()

    @property
    def _ssl_fields(self) -> set[str]:
        return {name for name in self.model_fields_set if name.startswith("ssl_")}

    @property
    def _query_keys(self) -> frozenset[str]:
        return _TLS_QUERY & self._parsed().query.keys()

    @property
    def _uses_tls(self) -> bool:
        if self.ssl_enabled is not None:
            return self.ssl_enabled
        return bool(self._query_keys or self.ssl_ca_file or self.ssl_certificate_file or self.ssl_key_file)

    def _parsed(self) -> URL:
        return make_url(self.url.get_secret_value())

    def _tls(self) -> Tls:
        query = self._parsed().query
        verify = self.ssl_verify and _FLAGS[str(query.get("ssl_verify", "true"))]
        files = dict(self._files())
        return Tls(files.get("ca"), files.get("cert"), files.get("key"), verify_certificate=verify)

    def _files(self) -> Iterator[tuple[str, TlsFile]]:
        query = self._parsed().query
        own = {"ca": self.ssl_ca_file, "cert": self.ssl_certificate_file, "key": self.ssl_key_file}
        for part, path in own.items():
            if path:
                yield part, TlsFile(f"DB_SSL_{part.upper()}", path)
            elif f"ssl_{part}" in query:
                yield part, TlsFile(f"DATABASE_URL (ssl_{part})", str(query[f"ssl_{part}"]))
