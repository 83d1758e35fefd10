"""The loop on parts that ask for proof: Kafka by SCRAM over TLS and by mutual TLS, PostgreSQL and S3 by TLS."""

import asyncio
import dataclasses
import secrets
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
import trustme
from containers import images
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from testcontainers.core.container import DockerContainer
from world import World, features_of, make_rows, used

from shipway.contract.errors import Permanent, Transient
from shipway.contract.topics import FEEDBACK
from shipway.embedded.ports import HOST, choose_ports
from shipway.embedded.stack import External, prepare
from shipway.embedded.supervisor import Supervisor
from shipway.runtime import kafka
from shipway.runtime.objects import open_store
from shipway.runtime.provision import missing_topics, provision
from shipway.runtime.settings import KafkaSettings, ObjectsSettings
from shipway.runtime.waiting import until_reachable

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]
SSL_REQUEST = bytes.fromhex("0000000804d2162f")


@dataclass
class Secured:
    """Parts that ask for proof, and the settings that give it. ``mutual`` is Kafka's listener for certificates."""

    ports: dict[str, int]
    kafka: KafkaSettings
    mutual: KafkaSettings
    objects: ObjectsSettings
    external: External
    env: dict[str, str]
    ca: Path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def secured(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Secured]:
    """The parts, running."""
    folder, password = tmp_path_factory.mktemp("secured"), secrets.token_hex(8)
    ports = choose_ports(("scram", "mutual", "postgres", "tls-postgres", "objects"), usual={})
    certificates = _certificates(folder)
    parts = [
        _kafka(ports, folder, password),
        DockerContainer(images()["postgres"])
        .with_bind_ports(5432, ports["postgres"])
        .with_envs(POSTGRES_USER="shipway", POSTGRES_PASSWORD=password, POSTGRES_DB="shipway"),
        DockerContainer(images()["objects"])
        .with_bind_ports(9000, ports["objects"])
        .with_envs(MINIO_ROOT_USER="shipway", MINIO_ROOT_PASSWORD=password, MINIO_DOMAIN="localhost")
        .with_volume_mapping(str(folder / "minio"), "/certs", "ro")
        .with_command("server --certs-dir /certs /data"),
    ]
    ca = {"ca_file": str(folder / "ca.pem")}
    found = Secured(
        ports,
        KafkaSettings.model_validate(
            {
                "bootstrap": f"localhost:{ports['scram']}",
                "security": "SASL_SSL",
                "username": "shipway",
                "password": password,
                **ca,
            }
        ),
        KafkaSettings.model_validate(
            {
                "bootstrap": f"localhost:{ports['mutual']}",
                "security": "SSL",
                "cert_file": str(folder / "client.pem"),
                **ca,
            }
        ),
        ObjectsSettings.model_validate(
            {
                "url": "s3://shipway",
                "endpoint": f"https://localhost:{ports['objects']}",
                "access_key": "shipway",
                "secret_key": password,
                **ca,
            }
        ),
        External(
            kafka=f"localhost:{ports['scram']}",
            database_url=f"postgresql://shipway:{password}@localhost:{ports['tls-postgres']}/shipway",
            objects={
                "URL": "s3://shipway",
                "ENDPOINT": f"https://localhost:{ports['objects']}",
                "ACCESS_KEY": "shipway",
                "SECRET_KEY": password,
                "CA_FILE": ca["ca_file"],
            },
        ),
        {
            "SHIPWAY__KAFKA__SECURITY": "SASL_SSL",
            "SHIPWAY__KAFKA__USERNAME": "shipway",
            "SHIPWAY__KAFKA__PASSWORD": password,
            "SHIPWAY__KAFKA__CA_FILE": ca["ca_file"],
            "SHIPWAY__DATABASE__TLS": "verify",
            "SHIPWAY__DATABASE__CA_FILE": ca["ca_file"],
        },
        folder / "ca.pem",
    )
    for part in parts:
        part.start()
    try:
        async with _tls_in_front(ports["tls-postgres"], ports["postgres"], certificates):
            await until_reachable("Kafka", lambda: kafka.probe(found.kafka))
            yield found
    finally:
        for part in parts:
            part.stop()


async def test_a_request_ends_in_predictions(secured: Secured, tmp_path: Path) -> None:
    plan = prepare(tmp_path, predictors=2, usual_ports={}, external=secured.external, env=secured.env)
    async with Supervisor(plan) as supervisor:
        await supervisor.wait_ready()
        async with used(supervisor, tmp_path, secured.kafka) as running:
            await _serves(running)


async def test_a_certificate_is_enough_for_kafka(secured: Secured) -> None:
    await provision(secured.mutual)
    assert await missing_topics(secured.mutual) == []
    wider = (dataclasses.replace(FEEDBACK, partitions=9), dataclasses.replace(FEEDBACK, name="shipway.else"))
    assert await missing_topics(secured.mutual, wider) == [
        "topic shipway.else is missing (3 partitions)",
        "topic shipway.feedback has 3 partitions; 9 are needed",
    ]
    async with kafka.connected_producer(secured.mutual, "test") as producer:
        await producer.send("shipway.feedback", b"m", b"{}", [])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"password": "wrong"}, "uthentication"),
        ({"ca_file": ""}, "certificate"),
        ({"security": "PLAINTEXT"}, "PLAINTEXT: "),
    ],
)
async def test_who_is_not_proven_is_kept_waiting_with_the_reason(
    secured: Secured, change: dict[str, str], why: str
) -> None:
    settings = KafkaSettings.model_validate(
        secured.kafka.model_dump() | {"request_timeout_ms": 3000, "password": secured.kafka.password} | change
    )
    with pytest.raises(Transient, match=why):
        await kafka.probe(settings)


async def test_a_client_without_a_certificate_is_refused(secured: Secured) -> None:
    with pytest.raises(Transient):
        await kafka.probe(secured.mutual.model_copy(update={"cert_file": "", "request_timeout_ms": 3000}))
    with pytest.raises(Permanent, match="KAFKA__CA_FILE"):
        await kafka.probe(secured.mutual.model_copy(update={"ca_file": "/nowhere.pem"}))


@pytest.mark.parametrize("style", ["path", "virtual-host"])
async def test_both_styles_of_bucket_names(secured: Secured, style: str, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = socket.getaddrinfo
    # Every name under localhost is this machine's (RFC 6761), which not every resolver knows.
    local = lambda host, *rest, **more: resolve("localhost" if host == "shipway.localhost" else host, *rest, **more)  # noqa: E731
    monkeypatch.setattr(socket, "getaddrinfo", local)
    store = open_store(secured.objects.model_copy(update={"style": style}))
    await asyncio.to_thread(store.probe)
    await asyncio.to_thread(store.put, f"styles/{style}", b"x")
    assert await asyncio.to_thread(store.list, "styles/") != []
    untrusting = open_store(secured.objects.model_copy(update={"ca_file": ""}))
    with pytest.raises(Transient, match="certificate"):
        await asyncio.to_thread(untrusting.probe)


async def _serves(world: World) -> None:
    await world.declare("secured")
    journey = await world.train("secured")
    assert journey.succeeded, journey
    row = features_of(make_rows("binary", 1)[0])
    assert (await world.shipway.predict("secured", [row])).version == 1


def _certificates(folder: Path) -> trustme.LeafCert:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    server = authority.issue_cert("localhost", "shipway.localhost", HOST)
    client = authority.issue_cert("shipway@example.org")
    (folder / "client.pem").write_bytes(_with_key(client))
    (folder / "server.pem").write_bytes(_with_key(server))
    (folder / "minio").mkdir()
    server.private_key_pem.write_to_path(str(folder / "minio" / "private.key"))
    (folder / "minio" / "public.crt").write_bytes(b"".join(pem.bytes() for pem in server.cert_chain_pems))
    for file in folder.rglob("*"):
        file.chmod(0o755 if file.is_dir() else 0o644)
    folder.chmod(0o755)
    return server


def _with_key(certificate: trustme.LeafCert) -> bytes:
    """Key and chain in one PEM file, the key in PKCS #8, which is all that Kafka reads."""
    key = load_pem_private_key(certificate.private_key_pem.bytes(), None)
    pkcs8 = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pkcs8 + b"".join(pem.bytes() for pem in certificate.cert_chain_pems)


def _kafka(ports: dict[str, int], folder: Path, password: str) -> DockerContainer:
    # The user is made while the storage is formatted, before the broker's first start.
    (folder / "format.properties").write_text(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@localhost:9093\n"
        "listeners=INSIDE://:9092,CONTROLLER://:9093\nadvertised.listeners=INSIDE://localhost:9092\n"
        "listener.security.protocol.map=INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT\ncontroller.listener.names=CONTROLLER\n"
        "inter.broker.listener.name=INSIDE\nlog.dirs=/var/lib/kafka/data\n"
    )
    formatting = (
        "/opt/kafka/bin/kafka-storage.sh format --cluster-id 5L6g3nShT-eMCtK--X86sw "
        f"--config /certificates/format.properties --add-scram 'SCRAM-SHA-512=[name=shipway,password={password}]'"
    )
    jaas = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    settings = {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENERS": "INSIDE://:9092,CONTROLLER://:9093,SCRAM://:9094,MUTUAL://:9095",
        "KAFKA_ADVERTISED_LISTENERS": f"INSIDE://localhost:9092,SCRAM://localhost:{ports['scram']},"
        f"MUTUAL://localhost:{ports['mutual']}",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT,SCRAM:SASL_SSL,MUTUAL:SSL",
        "KAFKA_INTER_BROKER_LISTENER_NAME": "INSIDE",
        "KAFKA_LISTENER_NAME_SCRAM_SASL_ENABLED_MECHANISMS": "SCRAM-SHA-512",
        "KAFKA_LISTENER_NAME_SCRAM_SCRAM___SHA___512_SASL_JAAS_CONFIG": jaas,
        "KAFKA_LISTENER_NAME_MUTUAL_SSL_CLIENT_AUTH": "required",
        "KAFKA_SSL_KEYSTORE_TYPE": "PEM",
        "KAFKA_SSL_KEYSTORE_LOCATION": "/certificates/server.pem",
        "KAFKA_SSL_TRUSTSTORE_TYPE": "PEM",
        "KAFKA_SSL_TRUSTSTORE_LOCATION": "/certificates/ca.pem",
        "KAFKA_LOG_DIRS": "/var/lib/kafka/data",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_HEAP_OPTS": "-Xms256m -Xmx512m",
    }
    return (
        DockerContainer(images()["kafka"])
        .with_bind_ports(9094, ports["scram"])
        .with_bind_ports(9095, ports["mutual"])
        .with_volume_mapping(str(folder), "/certificates", "ro")
        .with_envs(**settings)
        .with_command(["bash", "-c", f"{formatting} && exec /etc/kafka/docker/run"])
    )


@asynccontextmanager
async def _tls_in_front(port: int, of: int, certificate: trustme.LeafCert) -> AsyncIterator[None]:
    """PostgreSQL's way into TLS, in front of a server that may have been built without."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if await reader.readexactly(8) != SSL_REQUEST:
                return
            writer.write(b"S")
            await writer.drain()
            await writer.start_tls(context)
            there = await asyncio.open_connection(HOST, of)
            await asyncio.gather(_pump(reader, there[1]), _pump(there[0], writer))
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, HOST, port)
    async with server:
        yield
        server.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()
