"""TLS and SASL against a broker that insists on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from service.core.errors import Unavailable
from service.sources.kafka import KafkaOptions, KafkaSource
from tests.contracts.source_worlds import KafkaWorld, Lanes
from tests.integration.certificates import Authority
from tests.servers.kafka import Kafka, plain_logins

Change = Callable[[KafkaOptions], KafkaOptions]

USER, PASSWORD, KEY_PASSWORD = "reader", "reader-password", "key-password"
SCRAM_LOGIN = "org.apache.kafka.common.security.scram.ScramLoginModule required;"


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Signs for both sides."""
    return Authority()


@pytest.fixture(scope="module")
def secured(authority: Authority) -> Iterator[Kafka]:
    """A broker that asks for a password at one listener, for certificates at another, for both at a third."""
    server = authority.sign("broker")
    properties = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.certificate.chain": server.certificate,
        "ssl.keystore.key": server.key,
        "ssl.truststore.type": "PEM",
        "ssl.truststore.certificates": authority.certificate,
        "listener.name.ssl.ssl.client.auth": "required",
    }
    for protocol in ("SASL_PLAINTEXT", "SASL_SSL"):
        listener = f"listener.name.{protocol.lower()}"
        properties |= plain_logins(protocol, {USER: PASSWORD})
        properties[f"{listener}.sasl.enabled.mechanisms"] = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"
        for mechanism in ("scram-sha-256", "scram-sha-512"):
            properties[f"{listener}.{mechanism}.sasl.jaas.config"] = SCRAM_LOGIN
    with Kafka(
        properties=properties,
        protocols=("SASL_PLAINTEXT", "SASL_SSL", "SSL"),
        scram_users={USER: PASSWORD},
    ) as kafka:
        yield kafka


@pytest.fixture
def options(secured: Kafka, authority: Authority, tmp_path: Path) -> KafkaOptions:
    """All that any of the listeners asks for; a test names its protocol."""
    client = authority.sign("client", KEY_PASSWORD)
    files = {"ca": authority.certificate, "certificate": client.certificate, "key": client.key}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return replace(
        KafkaWorld(secured, partitions=1).options(),
        sasl_username=USER,
        sasl_password=PASSWORD,
        ssl_cafile=str(tmp_path / "ca"),
        ssl_certfile=str(tmp_path / "certificate"),
        ssl_keyfile=str(tmp_path / "key"),
        ssl_key_password=KEY_PASSWORD,
    )


def at(kafka: Kafka, options: KafkaOptions, protocol: str, mechanism: str = "PLAIN") -> KafkaOptions:
    """The options for one listener."""
    return replace(
        options,
        bootstrap_servers=kafka.address(protocol),
        security_protocol=protocol,
        sasl_mechanism=mechanism,
    )


@pytest.mark.parametrize(
    ("protocol", "mechanism"),
    [
        pytest.param("SASL_PLAINTEXT", "PLAIN", id="password"),
        pytest.param("SASL_PLAINTEXT", "SCRAM-SHA-256", id="scram-256"),
        pytest.param("SSL", "PLAIN", id="certificates"),
        pytest.param("SASL_SSL", "SCRAM-SHA-512", id="both"),
    ],
)
async def test_a_member_proves_who_it_is(
    secured: Kafka, options: KafkaOptions, protocol: str, mechanism: str
) -> None:
    """Membership, reading, committing and questions all pass the listener's checks."""
    source, lanes = KafkaSource(at(secured, options, protocol, mechanism)), Lanes()
    await source.start(lanes)
    (partition,) = await lanes.own(1)
    source.seek(partition, 0)
    await source.commit(partition, 0)
    offset = await source.group_offset(partition)
    await source.stop()
    assert offset is not None
    assert offset.ours


@pytest.mark.parametrize(
    ("protocol", "wrong"),
    [
        pytest.param(
            "SASL_PLAINTEXT", lambda options: replace(options, sasl_password="wrong"), id="password"
        ),
        pytest.param("SSL", lambda options: replace(options, ssl_certfile=None), id="no-certificate"),
        pytest.param("SSL", lambda options: replace(options, ssl_cafile=None), id="unknown-authority"),
    ],
)
async def test_wrong_credentials_are_unavailable(
    secured: Kafka, options: KafkaOptions, protocol: str, wrong: Change
) -> None:
    """It is waited for and told, without the password."""
    source = KafkaSource(wrong(at(secured, options, protocol)), deadline_seconds=1)
    with pytest.raises(Unavailable) as caught:
        await source.start(Lanes())
    await source.stop()
    assert "wrong" not in str(caught.value)


def test_passwords_are_not_shown(options: KafkaOptions) -> None:
    """The options may be logged."""
    assert PASSWORD not in repr(options)
    assert KEY_PASSWORD not in repr(options)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda options: replace(options, security_protocol="TLS"), id="protocol"),
        pytest.param(
            lambda options: replace(options, security_protocol="SASL_SSL", sasl_mechanism="GSSAPI"),
            id="mechanism",
        ),
        pytest.param(
            lambda options: replace(options, security_protocol="SASL_SSL", sasl_username=None), id="no-user"
        ),
        pytest.param(
            lambda options: replace(options, security_protocol="SSL", ssl_cafile="missing.pem"), id="no-file"
        ),
        pytest.param(
            lambda options: replace(options, security_protocol="SSL", ssl_key_password="wrong"),
            id="key-password",
        ),
    ],
)
async def test_wrong_options_are_refused_at_once(options: KafkaOptions, wrong: Change) -> None:
    """Before anything is connected, and without asking at the terminal."""
    with pytest.raises((ValueError, OSError)):
        KafkaSource(wrong(options))
