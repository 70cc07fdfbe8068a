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

SUPPORTED = ("mysql", "mariadb", "mysql+aiomysql", "mariadb+aiomysql")
_PLANNED = ("sqlite", "postgresql", "postgres")

# What a URL's query may say: TLS in the words of DB_SSL_*, and what the driver takes as it is.
_TLS_QUERY = frozenset({"ssl_ca", "ssl_cert", "ssl_key", "ssl_verify"})
_DRIVER_QUERY = frozenset({"charset", "unix_socket"})
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


def _wrong_scheme(url: URL) -> str | None:
    kind = url.drivername.partition("+")[0]
    if kind in _PLANNED:
        return f"names a {kind} database, which is not supported yet: use mysql:// or mariadb://"
    return None if url.drivername in SUPPORTED else "must begin with mysql:// or mariadb://"


def _wrong_place(url: URL) -> str | None:
    if not url.database:
        return "names no database: put its name behind the host, as in mysql://host/shop"
    if not url.host and "unix_socket" not in url.query:
        return "names no host"
    return None if url.port is None or 1 <= url.port <= 65535 else "must have a port from 1 to 65535"


def _wrong_query(url: URL) -> str | None:
    # The key is not quoted: behind an unescaped question mark stands the rest of a password.
    if url.query.keys() - _TLS_QUERY - _DRIVER_QUERY:
        known = ", ".join(sorted(_TLS_QUERY | _DRIVER_QUERY))
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
        "`mariadb+aiomysql://` mean the same. Special characters in the password are percent-encoded. TLS "
        "as `?ssl_ca=…&ssl_cert=…&ssl_key=…&ssl_verify=…`, or by `DB_SSL_…`.",
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
        """The URL for SQLAlchemy's asynchronous driver, password included, TLS left out (`ssl_context`)."""
        url = self._parsed().set(drivername="mysql+aiomysql").difference_update_query(_TLS_QUERY)
        return url.render_as_string(hide_password=False)

    def ssl_context(self) -> ssl.SSLContext | None:
        """The context for the connections, None without TLS."""
        return self._tls().context() if self._uses_tls else None

    def problems(self) -> Iterable[Problem]:
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
