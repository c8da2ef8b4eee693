"""Brokers that ask for TLS and for a password, as those of a company do, by the settings that an operator writes."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from maestro_py import bootstrap
from maestro_py.ports.transport import Address, HintKind
from maestro_py.settings import Settings, SettingsInvalid
from maestro_py.supervisor import kafka_jars
from maestro_py.supervisor.embedded_kafka import EmbeddedKafka
from maestro_py.transport.kafka_cluster import KafkaUnavailable
from tests.ears import Ear
from tests.kafka import broker_directory

SIGNALS: Final = Address(HintKind.SIGNALS, "")
_MODULES: Final = "org.apache.kafka.common.security"
_PASSWORD: Final = "correct horse"


class SecureBroker:
    """A broker that speaks TLS, and asks its clients for a certificate and a password."""

    def __init__(self, servers: str, authority: Path, certificate: Path) -> None:
        self.servers = servers
        self.authority = authority
        self.certificate = certificate  #: With its key.

    def settings(self, **changed: object) -> Settings:
        told: dict[str, object] = {
            "kafka": self.servers,
            "kafka_security": "SASL_SSL",
            "kafka_ssl_ca": self.authority,
            "kafka_ssl_certificate": self.certificate,
            "kafka_sasl_mechanism": "PLAIN",
            "kafka_sasl_username": "maestro",
            "kafka_sasl_password": _PASSWORD,
        }
        return Settings.from_environment(transport="kafka", **(told | changed))


@pytest.fixture(scope="module")
def secure() -> Iterator[SecureBroker]:
    with broker_directory() as directory:
        store, authority, certificate = (directory / name for name in ("store.p12", "authority.pem", "both.pem"))
        password = ("-storepass", "secret")
        subject = ("-dname", "CN=localhost", "-ext", "SAN=IP:127.0.0.1")
        _run("keytool", "-genkeypair", "-keyalg", "RSA", *subject, "-keystore", store, *password)
        _run("keytool", "-exportcert", "-rfc", "-keystore", store, *password, "-file", authority)
        _run("openssl", "pkcs12", "-in", store, "-passin", "pass:secret", "-nodes", "-out", certificate)
        users = f'username="broker" password="own" user_broker="own" user_maestro="{_PASSWORD}"'
        of_listener = "listener.name.sasl_ssl"
        settings = {
            "ssl.keystore.location": str(store),
            "ssl.keystore.type": "PKCS12",
            "ssl.keystore.password": "secret",
            "ssl.truststore.location": str(store),
            "ssl.truststore.type": "PKCS12",
            "ssl.truststore.password": "secret",
            f"{of_listener}.ssl.client.auth": "required",
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            f"{of_listener}.plain.sasl.jaas.config": f"{_MODULES}.plain.PlainLoginModule required {users};",
            f"{of_listener}.scram-sha-512.sasl.jaas.config": f"{_MODULES}.scram.ScramLoginModule required;",
        }
        with EmbeddedKafka(directory / "kafka", protocol="SASL_SSL", settings=settings) as broker:
            yield SecureBroker(broker.servers, authority, certificate)


def _run(*command: object) -> None:
    program = shutil.which(str(command[0]))
    assert program is not None, f"this test needs {command[0]}"
    subprocess.run([program, *map(str, command[1:])], check=True, capture_output=True)


def _add_scram_user(secure: SecureBroker, directory: Path) -> None:
    """Have the cluster know the user ``scram``, as an operator would, by Kafka's own tool."""
    store = secure.certificate.with_name("store.p12")
    tool = directory / "tool.properties"
    tool.write_text(
        f"""\
        security.protocol=SASL_SSL
        ssl.truststore.location={store}
        ssl.truststore.password=secret
        ssl.keystore.location={store}
        ssl.keystore.password=secret
        sasl.mechanism=PLAIN
        sasl.jaas.config={_MODULES}.plain.PlainLoginModule required username="maestro" password="{_PASSWORD}";
        """
    )
    jars = kafka_jars.find_jars(os.environ, print)
    _run(
        "java", "-cp", f"{jars}/*", "kafka.admin.ConfigCommand",
        "--bootstrap-server", secure.servers, "--command-config", tool,
        "--alter", "--entity-type", "users", "--entity-name", "scram",
        "--add-config", f"SCRAM-SHA-512=[password={_PASSWORD}]",
    )  # fmt: skip


@pytest.mark.slow
async def test_hints_flow_over_tls_with_a_password(secure: SecureBroker, tmp_path: Path) -> None:
    """Whichever way the password is proved: shown under TLS, or by SCRAM."""
    _add_scram_user(secure, tmp_path)
    scram = secure.settings(kafka_sasl_mechanism="SCRAM-SHA-512", kafka_sasl_username="scram")
    sender = bootstrap.transport_for(scram, "sender")
    receiver = bootstrap.transport_for(secure.settings(), "receiver")
    await sender.open()
    await receiver.open()

    await Ear(receiver, SIGNALS).hears_from(sender, SIGNALS)

    await sender.close()
    await receiver.close()


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"kafka_sasl_password": "wrong"}, "Authentication failed"),
        ({"kafka_ssl_ca": None}, "CERTIFICATE_VERIFY_FAILED"),
        ({"kafka_ssl_certificate": None}, "Unable connect"),
        ({"kafka_security": "PLAINTEXT"}, "Unable connect"),
    ],
    ids=["password", "authority", "certificate", "protocol"],
)
async def test_who_is_not_let_in_is_told_why(secure: SecureBroker, changed: dict[str, object], reason: str) -> None:
    with pytest.raises(KafkaUnavailable, match=f"no broker answers at .*: .*{reason}"):
        await bootstrap.create_topics(secure.settings(**changed))


async def test_a_process_that_is_not_let_in_goes_on_without_hints(secure: SecureBroker) -> None:
    transport = bootstrap.transport_for(secure.settings(kafka_sasl_password="wrong"), "sender")
    await transport.open()
    ear = Ear(transport, SIGNALS)

    transport.send([SIGNALS])

    await ear.hears(SIGNALS)  # from itself
    await transport.close()
    assert 1 == transport.hints_dropped


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"kafka": ""}, "MAESTRO_KAFKA: is not set"),
        ({"kafka_sasl_username": None}, "MAESTRO_KAFKA_SASL_USERNAME"),
        ({"kafka_ssl_ca": Path("/there/is/no.pem")}, "MAESTRO_KAFKA_SSL"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(changed: dict[str, object], named: str) -> None:
    settings = SecureBroker("kafka:9092", *2 * [Path("/there/is/none/either.pem")]).settings(**changed)

    with pytest.raises(SettingsInvalid, match=named):
        bootstrap.transport_for(settings, "any")


@pytest.mark.parametrize("prefix", ["", "a b", "x" * 51])
def test_a_prefix_that_kafka_would_refuse_is_refused_by_name(prefix: str) -> None:
    with pytest.raises(SettingsInvalid, match="MAESTRO_KAFKA_PREFIX"):
        Settings.from_environment(kafka_prefix=prefix)


def test_a_password_is_shown_nowhere() -> None:
    settings = SecureBroker("kafka:9092", *2 * [Path("any.pem")]).settings(kafka_security="SASL_PLAINTEXT")

    assert _PASSWORD not in repr(settings)
    assert _PASSWORD not in repr(bootstrap.kafka_cluster(settings, "any"))
