"""Settings are read from the environment, checked by form and range, and explained in docs/."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from service.core.types import Operation
from service.settings import (
    DatabaseSettings,
    KafkaSettings,
    LogSettings,
    Settings,
    SettingsError,
    load_group,
    load_settings,
)
from service.settings.database import SCHEMES
from service.settings.reference import configuration_page

ENTITIES = ("customers", "products", "orders")
DATABASE_URL = "mysql://writer:geheim@db.example:3306/shop"
REQUIRED = {"KAFKA_BOOTSTRAP_SERVERS": "kafka.example:9092", "DATABASE_URL": DATABASE_URL}
SECRET = "geheim"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """An environment with the required settings alone."""
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name, value in REQUIRED.items():
        monkeypatch.setenv(name, value)
    yield monkeypatch
    monkeypatch.undo()


@pytest.fixture
def authority() -> str:
    """A PEM file of certificates that this Python knows."""
    path = ssl.get_default_verify_paths().cafile
    if path is None:
        pytest.skip("no file of the system's authorities here")
    return path


def load(environment: pytest.MonkeyPatch, changes: Mapping[str, str | None]) -> Settings:
    for name, value in changes.items():
        if value is None:
            environment.delenv(name)
        else:
            environment.setenv(name, value)
    settings = load_settings()
    settings.check_entities(ENTITIES)
    return settings


def complaint(environment: pytest.MonkeyPatch, changes: Mapping[str, str | None]) -> str:
    with pytest.raises(SettingsError) as caught:
        load(environment, changes)
    return str(caught.value)


def test_defaults(environment: pytest.MonkeyPatch) -> None:
    """Everything but the two addresses has the specified default."""
    settings = load(environment, {})
    assert settings.kafka.group_id == "upsertd"
    assert [settings.kafka.topic(entity) for entity in ENTITIES] == list(ENTITIES)
    assert settings.kafka.session_timeout_seconds == 30
    assert settings.kafka.metadata_max_age_seconds == 30
    assert settings.kafka.auto_offset_reset == "earliest"
    assert settings.kafka.offset_out_of_range == "halt"
    assert settings.database.pool_size == 5
    assert settings.redis.connection_url is None
    assert settings.redis.ttl("orders") == 300
    assert (settings.batch.max_records, settings.batch.max_bytes, settings.batch.linger_ms) == (
        2500,
        1 << 20,
        0,
    )
    assert (settings.retention.mark_days, settings.retention.dead_letter_days) == (14, 90)
    assert settings.retention.mark_horizon_records == 10_000
    assert settings.retry.delays_seconds == (60, 120, 240)
    assert [settings.retry.attempts(operation) for operation in Operation] == [3, 3, 2]
    assert (settings.flood_guard.ratio, settings.flood_guard.window_records) == (0.5, 1000)
    assert (settings.http.host, settings.http.port) == ("127.0.0.1", 8000)
    assert (settings.log.level, settings.log.format) == ("INFO", "json")
    assert settings.shutdown.timeout_seconds == 30


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("KAFKA_BOOTSTRAP_SERVERS", "kafka", id="server-without-port"),
        pytest.param("KAFKA_BOOTSTRAP_SERVERS", "kafka:70000", id="server-port-out-of-range"),
        pytest.param("KAFKA_BOOTSTRAP_SERVERS", "kafka:9092,", id="server-empty"),
        pytest.param("KAFKA_GROUP_ID", " upsertd", id="group-leading-space"),
        pytest.param("KAFKA_GROUP_ID", "upsertd\u00a0", id="group-trailing-no-break-space"),
        pytest.param("KAFKA_GROUP_ID", "up\x07sertd", id="group-control-character"),
        pytest.param("KAFKA_TOPIC_ORDERS", "two words", id="topic-form"),
        pytest.param("KAFKA_TOPIC_ORDERS", "..", id="topic-dots"),
        pytest.param("KAFKA_TOPIC_SUPPLIERS", "suppliers", id="topic-of-no-entity"),
        pytest.param("KAFKA_SESSION_TIMEOUT_SECONDS", "5", id="session-timeout-low"),
        pytest.param("KAFKA_SESSION_TIMEOUT_SECONDS", "1801", id="session-timeout-high"),
        pytest.param("KAFKA_METADATA_MAX_AGE_SECONDS", "0", id="metadata-age"),
        pytest.param("KAFKA_AUTO_OFFSET_RESET", "none", id="offset-reset"),
        pytest.param("KAFKA_OFFSET_OUT_OF_RANGE", "latest", id="out-of-range"),
        pytest.param("KAFKA_SECURITY_PROTOCOL", "TLS", id="protocol"),
        pytest.param("KAFKA_SASL_USERNAME", "writer", id="sasl-without-protocol"),
        pytest.param("KAFKA_SASL_MECHANISM", "PLAIN", id="mechanism-without-protocol"),
        pytest.param("KAFKA_SSL_CAFILE", "ca.pem", id="ca-without-protocol"),
        pytest.param("KAFKA_SSL_PASSWORD", SECRET, id="key-password-without-certificate"),
        pytest.param("KAFKA_SSL_CHECK_HOSTNAME", "perhaps", id="flag"),
        pytest.param("DATABASE_URL", SECRET, id="no-url"),
        pytest.param("DATABASE_URL", f"oracle://u:{SECRET}@db/shop", id="unknown-database"),
        pytest.param("DATABASE_URL", f"mysql+pymysql://u:{SECRET}@db/shop", id="blocking-driver"),
        pytest.param("DATABASE_URL", f"mysql://u:{SECRET}@db:x/shop", id="port-form"),
        pytest.param("DATABASE_URL", f"mysql://u:{SECRET}@db:70000/shop", id="port-range"),
        pytest.param("DATABASE_URL", f"mysql://u:{SECRET}@db", id="no-database"),
        pytest.param("DATABASE_URL", f"mysql://u:{SECRET}@/shop", id="no-host"),
        pytest.param("DATABASE_URL", f"mysql://db/shop?{SECRET}=1", id="unknown-parameter"),
        pytest.param("DATABASE_URL", "mysql://db/shop?charset=latin1", id="other-charset"),
        pytest.param("DATABASE_URL", "mysql://db/shop?ssl_verify=maybe", id="url-flag"),
        pytest.param("DATABASE_URL", f"postgresql+psycopg2://u:{SECRET}@db/shop", id="other-driver"),
        pytest.param("DATABASE_URL", f"postgresql://u:{SECRET}@/shop", id="postgresql-no-host"),
        pytest.param("DATABASE_URL", f"postgresql://u:{SECRET}@db", id="postgresql-no-database"),
        pytest.param("DATABASE_URL", "postgresql://db/shop?charset=utf8mb4", id="of-another-database"),
        pytest.param("DATABASE_URL", f"sqlite://{SECRET}/shop.db", id="file-with-a-host"),
        pytest.param("DATABASE_URL", "sqlite://", id="no-file"),
        pytest.param("DATABASE_URL", "sqlite:///:memory:", id="in-memory"),
        pytest.param("DATABASE_URL", "sqlite:///file:shop?mode=memory&uri=true", id="in-memory-by-uri"),
        pytest.param("DATABASE_URL", f"sqlite:///shop.db?{SECRET}=1", id="file-parameter"),
        pytest.param("DB_CONNECTION_POOL_SIZE", "0", id="pool-empty"),
        pytest.param("DB_SSL_VERIFY", "false", id="tls-without-effect"),
        pytest.param("REDIS_URL", f"http://:{SECRET}@redis", id="redis-scheme"),
        pytest.param("REDIS_URL", f"redis://:{SECRET}@redis:port", id="redis-port"),
        pytest.param("REDIS_URL", f"redis://:{SECRET}@redis/zero", id="redis-database"),
        pytest.param("REDIS_TTL", "0", id="ttl-zero"),
        pytest.param("REDIS_TTL", "1209600", id="ttl-as-long-as-the-marks"),
        pytest.param("REDIS_TTL_ORDERS", "1209600", id="entity-ttl-as-long-as-the-marks"),
        pytest.param("REDIS_TTL_SUPPLIERS", "60", id="ttl-of-no-entity"),
        pytest.param("BATCH_MAX_RECORDS", "10001", id="batch-records"),
        pytest.param("BATCH_MAX_BYTES", "1023", id="batch-bytes"),
        pytest.param("BATCH_LINGER_MS", "-1", id="linger"),
        pytest.param("MARK_RETENTION_DAYS", "0", id="mark-retention"),
        pytest.param("MARK_RETENTION_HORIZON_RECORDS", "-1", id="mark-horizon"),
        pytest.param("DEAD_LETTER_RETENTION_DAYS", "many", id="letter-retention"),
        pytest.param("RETRY_DELAYS_SECONDS", "60,,240", id="delay-empty"),
        pytest.param("RETRY_DELAYS_SECONDS", "60,0", id="delay-zero"),
        pytest.param("RETRY_ATTEMPTS_CREATE", "-1", id="attempts-create"),
        pytest.param("RETRY_ATTEMPTS_UPDATE", "1.0", id="attempts-update"),
        pytest.param("RETRY_ATTEMPTS_DELETE", "101", id="attempts-delete"),
        pytest.param("DEAD_LETTER_FLOOD_RATIO", "0", id="ratio-zero"),
        pytest.param("DEAD_LETTER_FLOOD_RATIO", "nan", id="ratio-nan"),
        pytest.param("DEAD_LETTER_FLOOD_RATIO", "1.01", id="ratio-high"),
        pytest.param("DEAD_LETTER_FLOOD_WINDOW", "-1", id="flood-window"),
        pytest.param("HTTP_HOST", "http://0.0.0.0", id="host"),
        pytest.param("HTTP_PORT", "65536", id="port-high"),
        pytest.param("HTTP_PORT", "8_000", id="port-underscore"),
        pytest.param("HTTP_PORT", " 8000", id="port-space"),
        pytest.param("HTTP_PORT", "٨٠٠٠", id="port-foreign-digits"),
        pytest.param("HTTP_PORT", "9" * 5000, id="port-endless"),
        pytest.param("LOG_LEVEL", "LOUD", id="level"),
        pytest.param("LOG_FORMAT", "xml", id="format"),
        pytest.param("SHUTDOWN_TIMEOUT_SECONDS", "0", id="shutdown"),
    ],
)
def test_wrong_setting_is_named(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    """A wrong value is one line that names its variable, and no secret."""
    line = complaint(environment, {name: value})
    assert name in line
    assert "\n" not in line
    assert SECRET not in line


def test_all_wrong_settings_stand_in_one_line(environment: pytest.MonkeyPatch) -> None:
    """Whoever fixes the environment needs one try, not one per variable."""
    line = complaint(
        environment, {"DATABASE_URL": None, "HTTP_PORT": "no", "REDIS_TTL": "0", "LOG_LEVEL": "x"}
    )
    assert line == (
        "DATABASE_URL is not set; REDIS_TTL must be at least 1; HTTP_PORT must be a whole number; "
        "LOG_LEVEL must be DEBUG, INFO, WARNING, ERROR or CRITICAL"
    )


def test_database_alone(environment: pytest.MonkeyPatch) -> None:
    """A command that needs the database alone is not asked for brokers."""
    environment.delenv("KAFKA_BOOTSTRAP_SERVERS")
    assert load_group(DatabaseSettings).pool_size == 5


def test_error_carries_no_other(environment: pytest.MonkeyPatch) -> None:
    """Nothing that a traceback could show hangs on the error: pydantic's would hold the values."""
    environment.setenv("DATABASE_URL", SECRET)
    with pytest.raises(SettingsError, match="DATABASE_URL must be a URL") as caught:
        load_group(DatabaseSettings)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_empty_is_not_set(environment: pytest.MonkeyPatch) -> None:
    """An empty variable is the same as none."""
    changes = {
        "KAFKA_GROUP_ID": "",
        "HTTP_PORT": "",
        "REDIS_URL": "",
        "REDIS_URL_FILE": "",
        "REDIS_TTL_ORDERS": "",
    }
    settings = load(environment, changes)
    assert (settings.kafka.group_id, settings.http.port) == ("upsertd", 8000)
    assert settings.redis.connection_url is None
    assert "KAFKA_BOOTSTRAP_SERVERS is not set" in complaint(environment, {"KAFKA_BOOTSTRAP_SERVERS": ""})


def test_empty_topic_is_not_consumed(environment: pytest.MonkeyPatch) -> None:
    """For a topic, empty says that the entity is left out."""
    settings = load(environment, {"KAFKA_TOPIC_CUSTOMERS": "", "KAFKA_TOPIC_ORDERS": "shop.orders"})
    assert [settings.kafka.topic(entity) for entity in ENTITIES] == [None, "products", "shop.orders"]


def test_one_topic_one_entity(environment: pytest.MonkeyPatch) -> None:
    """The topic says which entity a record belongs to, so it cannot have two, by default or by name."""
    line = complaint(environment, {"KAFKA_TOPIC_CUSTOMERS": "orders"})
    assert "KAFKA_TOPIC_CUSTOMERS and KAFKA_TOPIC_ORDERS are the same topic" in line


def test_some_topic_is_consumed(environment: pytest.MonkeyPatch) -> None:
    """A service that consumes nothing is a mistake."""
    line = complaint(environment, {f"KAFKA_TOPIC_{entity.upper()}": "" for entity in ENTITIES})
    assert "nothing to consume" in line


def test_choices_in_any_case(environment: pytest.MonkeyPatch) -> None:
    """Names of a closed list are understood in any case."""
    changes = {"LOG_LEVEL": "debug", "LOG_FORMAT": "Console", "KAFKA_SECURITY_PROTOCOL": "ssl"}
    settings = load(environment, changes)
    assert (settings.log.level, settings.log.format) == ("DEBUG", "console")
    assert settings.kafka.security_protocol == "SSL"


def test_secret_from_file(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A secret may stand in a file, whose line end does not belong to it."""
    file = tmp_path / "url"
    file.write_bytes(DATABASE_URL.encode() + b"\r\n")
    settings = load(environment, {"DATABASE_URL": None, "DATABASE_URL_FILE": str(file)})
    assert settings.database.url.get_secret_value() == DATABASE_URL


@pytest.mark.parametrize(
    "name",
    ["DATABASE_URL", "REDIS_URL", "REDIS_PASSWORD", "KAFKA_SASL_PASSWORD", "KAFKA_SSL_PASSWORD"],
)
def test_every_secret_has_a_file(environment: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    """A file that is not there is a wrong setting of each secret."""
    changes = {"DATABASE_URL": None, f"{name}_FILE": str(tmp_path / "missing")}
    assert f"{name}_FILE names a file that cannot be read" in complaint(environment, changes)


def test_secret_twice(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With a value and a file nobody knows which one counts."""
    line = complaint(environment, {"DATABASE_URL_FILE": str(tmp_path / "url")})
    assert line == "DATABASE_URL and DATABASE_URL_FILE are both set: set one of them"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"mysql://db/one\nmysql://db/two\n", id="two-lines"),
        pytest.param(b"\xff\xfe", id="not-utf-8"),
        pytest.param(b"x" * 100_000, id="huge"),
    ],
)
def test_secret_file_holds_one_line(environment: pytest.MonkeyPatch, tmp_path: Path, content: bytes) -> None:
    """A file that cannot be a secret is refused, by the name of its variable."""
    file = tmp_path / "url"
    file.write_bytes(content)
    assert "DATABASE_URL_FILE" in complaint(
        environment, {"DATABASE_URL": None, "DATABASE_URL_FILE": str(file)}
    )


def test_bytes_that_are_no_text(environment: pytest.MonkeyPatch) -> None:
    """Bytes that are not UTF-8 are found here, not in the first request that carries them."""
    assert "KAFKA_GROUP_ID" in complaint(environment, {"KAFKA_GROUP_ID": os.fsdecode(b"\xff")})


def test_settings_show_no_secret(environment: pytest.MonkeyPatch) -> None:
    """Printing the settings is harmless."""
    settings = load(environment, {"REDIS_HOST": "redis", "REDIS_PASSWORD": SECRET})
    assert SECRET not in f"{settings!r} {settings.redis.connection_url!r} {settings.database}"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        *(
            pytest.param(
                f"{scheme}://u:p%40ss@db/shop?{query}", f"{kind}://u:p%40ss@db/shop{left}", id=scheme
            )
            for kind, schemes, query, left in (
                ("mysql", SCHEMES["mysql"], "charset=utf8mb4&ssl_verify=false", "?charset=utf8mb4"),
                ("postgresql", SCHEMES["postgresql"], "ssl_verify=false", ""),
            )
            for scheme in schemes
        ),
        pytest.param("postgresql:///shop?host=/run", "postgresql:///shop?host=%2Frun", id="socket"),
        pytest.param("sqlite:///shop.db", "sqlite:///shop.db", id="relative-file"),
        pytest.param("sqlite+aiosqlite:////var/shop.db", "sqlite:////var/shop.db", id="absolute-file"),
    ],
)
def test_database_url_is_normalised(environment: pytest.MonkeyPatch, url: str, expected: str) -> None:
    """Each way to write it becomes one that names the kind of database, password included, TLS apart."""
    assert load(environment, {"DATABASE_URL": url}).database.connection_url == expected


@pytest.mark.parametrize(
    ("changes", "verify"),
    [
        pytest.param({}, None, id="none"),
        pytest.param({"DB_SSL_ENABLED": "true"}, ssl.CERT_REQUIRED, id="system-authorities"),
        pytest.param({"DB_SSL_ENABLED": "true", "DB_SSL_VERIFY": "false"}, ssl.CERT_NONE, id="not-verified"),
        pytest.param({"DATABASE_URL": f"{DATABASE_URL}?ssl_verify=false"}, ssl.CERT_NONE, id="by-the-url"),
    ],
)
def test_database_tls(
    environment: pytest.MonkeyPatch, changes: dict[str, str], verify: ssl.VerifyMode | None
) -> None:
    """TLS is on where it is asked for, and checks the server unless that is switched off."""
    context = load(environment, changes).database.ssl_context()
    assert (context.verify_mode if context else None) == verify


def test_database_tls_by_a_file(environment: pytest.MonkeyPatch, authority: str) -> None:
    """Naming the authorities switches TLS on."""
    context = load(environment, {"DB_SSL_CA": authority}).database.ssl_context()
    assert context is not None
    assert context.check_hostname


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        pytest.param({"DB_SSL_CA": "missing.pem"}, "DB_SSL_CA names", id="missing"),
        pytest.param({"DB_SSL_CA": __file__}, "DB_SSL_CA cannot be used", id="not-pem"),
        pytest.param({"DB_SSL_KEY": __file__}, "DB_SSL_KEY needs a certificate", id="key-alone"),
        pytest.param(
            {"DATABASE_URL": f"{DATABASE_URL}?ssl_ca=missing.pem"}, "DATABASE_URL (ssl_ca)", id="by-the-url"
        ),
        pytest.param(
            {"DATABASE_URL": f"{DATABASE_URL}?ssl_ca=a", "DB_SSL_CA": "b"}, "both speak of TLS", id="twice"
        ),
        pytest.param(
            {"DATABASE_URL": "sqlite:///shop.db", "DB_SSL_ENABLED": "true"},
            "no connection to encrypt",
            id="file",
        ),
    ],
)
def test_database_tls_files(environment: pytest.MonkeyPatch, changes: dict[str, str], named: str) -> None:
    """A file that cannot be used is found at start."""
    assert named in complaint(environment, changes)


def test_kafka_login(environment: pytest.MonkeyPatch) -> None:
    """A SASL protocol needs both halves of a login, and then has them."""
    protocol = {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}
    line = complaint(environment, protocol)
    assert "KAFKA_SASL_USERNAME is not set" in line
    assert "KAFKA_SASL_PASSWORD is not set" in line
    login = {"KAFKA_SASL_USERNAME": "writer", "KAFKA_SASL_PASSWORD": SECRET}
    kafka = load(environment, protocol | login).kafka
    assert kafka.uses_sasl
    assert kafka.sasl_mechanism == "PLAIN"
    assert kafka.ssl_context() is not None


def test_kafka_host_name_check(environment: pytest.MonkeyPatch) -> None:
    """The host name check can be switched off; the certificate is checked all the same."""
    changes = {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CHECK_HOSTNAME": "false"}
    context = load(environment, changes).kafka.ssl_context()
    assert context is not None
    assert (context.check_hostname, context.verify_mode) == (False, ssl.CERT_REQUIRED)


def test_redis_by_host(environment: pytest.MonkeyPatch) -> None:
    """Host, port and password become a URL in which nothing of the password is taken for syntax."""
    redis = load(environment, {"REDIS_HOST": "::1", "REDIS_PASSWORD": "a/b@c", "REDIS_PORT": "6380"}).redis
    assert redis.connection_url is not None
    assert redis.connection_url.get_secret_value() == "redis://:a%2Fb%40c@[::1]:6380/0"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        pytest.param(
            {"REDIS_URL": "redis://h", "REDIS_HOST": "h"}, "REDIS_URL excludes REDIS_HOST", id="both"
        ),
        pytest.param(
            {"REDIS_URL": "redis://h", "REDIS_PASSWORD": "p"}, "excludes REDIS_PASSWORD", id="password"
        ),
        pytest.param({"REDIS_PORT": "6379"}, "REDIS_HOST is not set, but REDIS_PORT", id="port-alone"),
    ],
)
def test_redis_has_one_form(environment: pytest.MonkeyPatch, changes: dict[str, str], named: str) -> None:
    """Two ways to say where Redis is contradict each other sooner or later."""
    assert named in complaint(environment, changes)


def test_kubernetes_service_variable_is_no_port(environment: pytest.MonkeyPatch) -> None:
    """Kubernetes' own REDIS_PORT does not stop a pod beside a service named redis."""
    redis = load(environment, {"REDIS_URL": "redis://redis", "REDIS_PORT": "tcp://10.0.0.7:6379"}).redis
    assert redis.port is None


def test_ttl_by_entity(environment: pytest.MonkeyPatch) -> None:
    """An entity's own TTL goes before the common one."""
    redis = load(environment, {"REDIS_TTL": "60", "REDIS_TTL_ORDERS": "900"}).redis
    assert (redis.ttl("orders"), redis.ttl("customers")) == (900, 60)


def test_console_on_a_terminal(environment: pytest.MonkeyPatch) -> None:
    """People at a terminal read lines, unless they ask for JSON."""
    environment.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert load_group(LogSettings).format == "console"
    environment.setenv("LOG_FORMAT", "json")
    assert load_group(LogSettings).format == "json"


def test_settings_in_code() -> None:
    """Tests and tools can build a group by its fields' names."""
    assert KafkaSettings(bootstrap_servers="127.0.0.1:9092", topics={"orders": "o"}).topic("orders") == "o"


def test_configuration_page_is_current() -> None:
    """docs/configuration.md says what the code says: regenerate it when this fails."""
    page = Path(__file__).parents[2] / "docs" / "configuration.md"
    assert page.read_text(encoding="utf-8") == configuration_page()


def test_configuration_page_has_every_setting() -> None:
    """No setting is without a meaning."""
    rows = [line.split(" | ") for line in configuration_page().splitlines() if line.startswith("| `")]
    assert len(rows) > 40
    assert all(len(row) == 4 and len(row[3]) > 8 for row in rows)
