"""Where the records come from: brokers, group, topics and security."""

from __future__ import annotations

import ssl
from collections.abc import Collection, Iterable, Iterator
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr

from service.settings.forms import (
    AnyCase,
    AnyCaseUpper,
    Otherwise,
    Seconds,
    SwitchOff,
    matching,
    wrong_form,
)
from service.settings.problems import Problem
from service.settings.reading import Group, Prefix, variable
from service.settings.tls import Tls, TlsFile


def _check_servers(value: object) -> object:
    for server in str(value).split(","):
        host, _, port = server.strip().rpartition(":")
        in_range = port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= 65535
        if not host or not in_range or any(character.isspace() or character in "/@" for character in host):
            raise wrong_form("must be host:port, several separated by commas")
    return value


# What Kafka allows as a topic's name; empty means that the entity is not consumed.
_Topic = Annotated[
    str,
    matching(
        r"|(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}", "must be a topic's name (letters, digits, . _ -) or empty"
    ),
]

_Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]


class KafkaSettings(Group):
    """Kafka"""

    bootstrap_servers: Annotated[str, BeforeValidator(_check_servers)] = Field(
        validation_alias="KAFKA_BOOTSTRAP_SERVERS",
        description="The brokers to ask first: `host:port`, several separated by commas.",
    )
    group_id: Annotated[
        str,
        matching(
            r"(?!\s)[^\x00-\x1f\x7f-\x9f]{1,255}(?<!\s)",
            "must not begin or end with white space, nor hold "
            "control characters, nor be longer than 255 characters",
        ),
    ] = Field(
        default="upsertd",
        validation_alias="KAFKA_GROUP_ID",
        description="The consumer group; replicas share it. Positions in the database belong to it.",
    )
    topics: Annotated[
        dict[str, _Topic],
        Prefix(keeps_empty=True),
        Otherwise("the entity's name"),
        SwitchOff("empty: the entity is not consumed"),
    ] = Field(
        default_factory=dict,
        validation_alias="KAFKA_TOPIC_",
        description="The topic of an entity, such as `KAFKA_TOPIC_CUSTOMERS`. Each topic has one entity.",
    )
    session_timeout_seconds: Seconds = Field(
        default=30,
        ge=6,
        le=1800,
        validation_alias="KAFKA_SESSION_TIMEOUT_SECONDS",
        description="How long a member may be silent before the group gives its partitions away.",
    )
    metadata_max_age_seconds: Seconds = Field(
        default=30,
        ge=1,
        le=3600,
        validation_alias="KAFKA_METADATA_MAX_AGE_SECONDS",
        description="How soon added partitions are seen.",
    )
    auto_offset_reset: Annotated[Literal["earliest", "latest"], AnyCase] = Field(
        default="earliest",
        validation_alias="KAFKA_AUTO_OFFSET_RESET",
        description="Where a group or a partition begins that has no position yet.",
    )
    offset_out_of_range: Annotated[Literal["halt", "earliest"], AnyCase] = Field(
        default="halt",
        validation_alias="KAFKA_OFFSET_OUT_OF_RANGE",
        description="What happens when the log no longer has the position: `halt` stops the partition with "
        "an alarm, `earliest` goes on at the first record there is (records may be lost).",
    )
    security_protocol: Annotated[_Protocol, AnyCaseUpper] = Field(
        default="PLAINTEXT",
        validation_alias="KAFKA_SECURITY_PROTOCOL",
        description="Whether the connection is encrypted (`SSL`) and whether we log in (`SASL`).",
    )
    sasl_mechanism: Annotated[Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], AnyCaseUpper] = Field(
        default="PLAIN",
        validation_alias="KAFKA_SASL_MECHANISM",
        description="How we log in, with a SASL protocol.",
    )
    sasl_username: str | None = Field(
        default=None,
        validation_alias="KAFKA_SASL_USERNAME",
        description="Who logs in; required with a SASL protocol.",
    )
    sasl_password: SecretStr | None = Field(
        default=None,
        validation_alias="KAFKA_SASL_PASSWORD",
        description="The password; required with a SASL protocol.",
    )
    ssl_ca_file: Annotated[str | None, Otherwise("the system's authorities")] = Field(
        default=None,
        validation_alias="KAFKA_SSL_CAFILE",
        description="PEM file of the authorities that may vouch for the brokers.",
    )
    ssl_certificate_file: str | None = Field(
        default=None, validation_alias="KAFKA_SSL_CERTFILE", description="PEM file of our own certificate."
    )
    ssl_key_file: Annotated[str | None, Otherwise("in the certificate's file")] = Field(
        default=None, validation_alias="KAFKA_SSL_KEYFILE", description="PEM file of our certificate's key."
    )
    ssl_password: SecretStr | None = Field(
        default=None,
        validation_alias="KAFKA_SSL_PASSWORD",
        description="The password that our key is encrypted with.",
    )
    ssl_check_hostname: Annotated[
        bool, SwitchOff("`false`: any host with a valid certificate is believed")
    ] = Field(
        default=True,
        validation_alias="KAFKA_SSL_CHECK_HOSTNAME",
        description="Whether a broker's certificate must carry the broker's host name.",
    )

    @property
    def uses_sasl(self) -> bool:
        """Whether we log in."""
        return self.security_protocol.startswith("SASL_")

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.security_protocol.endswith("SSL")

    def topic(self, entity: str) -> str | None:
        """The topic of an entity, None when it is not consumed."""
        return self.topics.get(entity, entity) or None

    def ssl_context(self) -> ssl.SSLContext | None:
        """The context for the brokers' connections, None without TLS."""
        return self._tls().context() if self.uses_tls else None

    def problems(self) -> Iterator[Problem]:
        yield from self._sasl_problems()
        yield from self._tls().problems() if self.uses_tls else self._needless("ssl_", "SSL or SASL_SSL")
        if self.ssl_password and not self.ssl_certificate_file:
            yield Problem("KAFKA_SSL_PASSWORD", "needs KAFKA_SSL_CERTFILE")

    def topic_problems(self, entities: Collection[str]) -> Iterator[Problem]:
        """What is wrong with the topics when these are all the entities there are."""
        known = ", ".join(sorted(entities))
        for entity in sorted(self.topics.keys() - set(entities)):
            yield Problem(_topic_variable(entity), f"names no entity (there are: {known})")
        taken: dict[str, str] = {}
        for entity in entities:
            topic = self.topic(entity)
            first = taken.setdefault(topic, entity) if topic else entity
            if first != entity:
                names = f"{_topic_variable(first)} and {_topic_variable(entity)}"
                yield Problem(names, "are the same topic: each entity needs its own")
        if not taken:
            yield Problem(", ".join(map(_topic_variable, entities)), "are all empty: nothing to consume")

    def _sasl_problems(self) -> Iterable[Problem]:
        if not self.uses_sasl:
            return self._needless("sasl_", "SASL_PLAINTEXT or SASL_SSL")
        needed = {"KAFKA_SASL_USERNAME": self.sasl_username, "KAFKA_SASL_PASSWORD": self.sasl_password}
        return [
            Problem(name, f"is not set, but KAFKA_SECURITY_PROTOCOL={self.security_protocol} needs it")
            for name, value in needed.items()
            if value is None
        ]

    def _needless(self, prefix: str, protocols: str) -> Iterator[Problem]:
        """Settings that another protocol would use: whoever set them believes to be safer than they are."""
        for name in sorted(self.model_fields_set):
            if name.startswith(prefix):
                yield Problem(
                    variable(type(self).model_fields[name]),
                    f"is set, but only KAFKA_SECURITY_PROTOCOL={protocols} uses it",
                )

    def _tls(self) -> Tls:
        return Tls(
            ca=_file("KAFKA_SSL_CAFILE", self.ssl_ca_file),
            certificate=_file("KAFKA_SSL_CERTFILE", self.ssl_certificate_file),
            key=_file("KAFKA_SSL_KEYFILE", self.ssl_key_file),
            key_password=self.ssl_password.get_secret_value() if self.ssl_password else "",
            verify_host=self.ssl_check_hostname,
        )


def _file(name: str, path: str | None) -> TlsFile | None:
    return TlsFile(name, path) if path else None


def _topic_variable(entity: str) -> str:
    return f"KAFKA_TOPIC_{entity.upper()}"
