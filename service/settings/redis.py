"""The cache of ids that SQL has marked."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Annotated
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from service.settings.forms import Otherwise, Seconds, SwitchOff, Unit, Whole, matching, wrong_form
from service.settings.problems import Problem
from service.settings.reading import Group, Prefix

# Ten years; the retention of the marks is the real bound.
_MAX_TTL_SECONDS = 315_360_000
_Ttl = Annotated[Seconds, Field(ge=1, le=_MAX_TTL_SECONDS)]


def _check_url(secret: SecretStr) -> SecretStr:
    try:
        url = urlsplit(secret.get_secret_value())
        complete = url.path if url.scheme == "unix" else url.hostname and url.port != 0
    except ValueError:
        complete = None
    if not complete or url.scheme not in ("redis", "rediss", "unix"):
        raise wrong_form(
            "must be a URL such as redis://:password@host:6379/0, rediss://… or unix://…"
        ) from None
    if url.scheme != "unix" and url.path.strip("/") and not url.path.strip("/").isdecimal():
        raise wrong_form("must end with the number of a database, such as /0")
    return secret


def _drop_service_link(value: object) -> object:
    # Kubernetes sets REDIS_PORT=tcp://… in every pod beside a service named `redis`: nobody's setting.
    return None if isinstance(value, str) and value.startswith("tcp://") else value


class RedisSettings(Group):
    """Redis"""

    url: Annotated[
        SecretStr | None,
        AfterValidator(lambda secret: secret and _check_url(secret)),
        SwitchOff("neither `REDIS_URL` nor `REDIS_HOST`: every event is a miss, the database decides"),
    ] = Field(
        default=None,
        validation_alias="REDIS_URL",
        description="`redis://:password@host:6379/0`, `rediss://…` (TLS) or `unix://…`. Excludes the "
        "three settings below.",
    )
    host: Annotated[str, matching(r"[^\s/@]{1,255}", "must be a host name or an address")] | None = Field(
        default=None,
        validation_alias="REDIS_HOST",
        description="The server's host, where there is no `REDIS_URL`.",
    )
    port: Annotated[
        Annotated[Whole, Field(ge=1, le=65535)] | None, BeforeValidator(_drop_service_link), Otherwise("6379")
    ] = Field(
        default=None, validation_alias="REDIS_PORT", description="The server's port; needs `REDIS_HOST`."
    )
    password: SecretStr | None = Field(
        default=None, validation_alias="REDIS_PASSWORD", description="The password; needs `REDIS_HOST`."
    )
    ttl_seconds: Seconds = Field(
        default=300,
        ge=1,
        le=_MAX_TTL_SECONDS,
        validation_alias="REDIS_TTL",
        description="How long the cache remembers an id; shorter than `MARK_RETENTION_DAYS`.",
    )
    ttl_seconds_by_entity: Annotated[
        dict[str, _Ttl], Prefix(), Unit("seconds"), Otherwise("as `REDIS_TTL`")
    ] = Field(
        default_factory=dict,
        validation_alias="REDIS_TTL_",
        description="The same for the events of one entity, such as `REDIS_TTL_ORDERS`.",
    )

    @property
    def connection_url(self) -> SecretStr | None:
        """The server's URL, None when no Redis is configured."""
        if self.url or not self.host:
            return self.url
        password = f":{quote(self.password.get_secret_value(), safe='')}@" if self.password else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return SecretStr(f"redis://{password}{host}:{self.port or 6379}/0")

    def ttl(self, entity: str) -> int:
        """How many seconds the cache remembers an id of this entity."""
        return self.ttl_seconds_by_entity.get(entity, self.ttl_seconds)

    def problems(self) -> Iterable[Problem]:
        parts = {"REDIS_HOST": self.host, "REDIS_PORT": self.port, "REDIS_PASSWORD": self.password}
        given = ", ".join(name for name, value in parts.items() if value is not None)
        if self.url and given:
            return [Problem("REDIS_URL", f"excludes {given}: use one form")]
        if given and not self.url and not self.host:
            return [Problem("REDIS_HOST", f"is not set, but {given} needs it")]
        return ()

    def entity_problems(self, entities: Collection[str]) -> Iterator[Problem]:
        """What is wrong with the TTLs when these are all the entities there are."""
        known = ", ".join(sorted(entities))
        for entity in sorted(self.ttl_seconds_by_entity.keys() - set(entities)):
            yield Problem(f"REDIS_TTL_{entity.upper()}", f"names no entity (there are: {known})")

    def retention_problems(self, mark_days: int) -> Iterator[Problem]:
        """TTLs that would outlive the marks: a hit must always have its mark in SQL."""
        ttls = {f"REDIS_TTL_{entity.upper()}": ttl for entity, ttl in self.ttl_seconds_by_entity.items()}
        for name, seconds in {"REDIS_TTL": self.ttl_seconds, **ttls}.items():
            if seconds >= mark_days * 86_400:
                yield Problem(name, f"must be shorter than MARK_RETENTION_DAYS ({mark_days} days)")
