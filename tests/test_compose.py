"""docker-compose.yaml is valid: by a parser of the Compose Specification, by the compose client where there is one, and by what the
parts accept. What it runs before Airflow starts is run here, against real servers.

No container engine is needed, and none is used: the stack as a whole is unrun.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from demo import compose_start
from demo.sandbox import RavenServer, data
from demo.sandbox.debian import ensure_program
from raven_backup_provider.get_provider_info import get_provider_info
from tests.support.azurite import Azurite
from tests.support.s3_servers import moto_server

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "docker-compose.yaml"
Service = dict[str, Any]


def interpolated() -> str:
    """The file as compose reads it with nothing set outside: defaults put in, doubled dollars halved."""
    found = re.sub(r"(?<!\$)\$\{\w+:-([^}]*)\}", r"\1", FILE.read_text("utf-8"))
    return found.replace("$$", "$")


@pytest.fixture(scope="module")
def stack() -> dict[str, Any]:
    document = yaml.safe_load(interpolated())
    assert isinstance(document, dict)
    return document


@pytest.fixture(scope="module")
def airflow_services(stack: dict[str, Any]) -> dict[str, Service]:
    found = {name: service for name, service in stack["services"].items() if name.startswith("airflow-")}
    parts = ("api-server", "scheduler", "dag-processor", "triggerer", "worker")
    assert {f"airflow-{part}" for part in parts} <= set(found)
    return found


def has_compose() -> bool:
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not has_compose(), reason="the docker client with its compose plugin is not installed")
def test_the_compose_client_accepts_the_file() -> None:
    done = subprocess.run(["docker", "compose", "-f", str(FILE), "config", "-q"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_strict_parser_of_the_compose_specification_accepts_the_file() -> None:
    compose_spec = pytest.importorskip("compose_spec", reason="compose-spec is not installed")

    def parse(text: str) -> Any:
        # Merged first: the parser takes YAML's merge keys only one level deep.
        return compose_spec.PyCompose.from_yaml(yaml.safe_dump(yaml.safe_load(text)))

    parsed = parse(interpolated())
    parsed.validate()
    assert {"ravendb", "airflow-worker", "redis", "s3", "azurite", "sftp"} <= set(parsed.service_names())
    with pytest.raises(ValueError):
        parse(interpolated().replace("restart:", "restarts:"))


def test_every_image_has_a_tag_that_says_its_version(stack: dict[str, Any]) -> None:
    for name, service in stack["services"].items():
        _, _, tag = service["image"].rpartition(":")
        built_here = "build" in service
        assert built_here or (re.search(r"\d", tag) and "latest" not in tag), f"{name}: {service['image']}"
    bases = re.findall(r"^\s*FROM (\S+)", interpolated(), re.MULTILINE)
    assert bases == ["apache/airflow:${AIRFLOW_TAG}", "debian:12-slim"]


def test_nothing_waits_in_a_circle(stack: dict[str, Any]) -> None:
    waits = {name: set(service.get("depends_on", {})) for name, service in stack["services"].items()}
    while free := {name for name, others in waits.items() if not others & set(waits)}:
        waits = {name: others for name, others in waits.items() if name not in free}
    assert waits == {}


def test_every_service_names_an_image_and_only_what_the_file_defines(stack: dict[str, Any]) -> None:
    services, volumes = stack["services"], set(stack["volumes"])
    for name, service in services.items():
        assert service.get("image"), name
        assert set(service.get("depends_on", {})) <= set(services), name
        assert {one["source"] for one in service.get("configs", [])} <= set(stack["configs"]), name
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            there = (ROOT / source).exists() if source.startswith("./") else source in volumes
            assert there, f"{name} mounts {source}, which is not declared"
    mounted = {mount.split(":")[0] for service in services.values() for mount in service.get("volumes", [])}
    assert volumes <= mounted


def test_a_service_is_waited_for_only_by_a_condition_it_can_meet(stack: dict[str, Any]) -> None:
    services = stack["services"]
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in services[other], f"{name} waits for the health of {other}, which has no check"
            if how["condition"] == "service_completed_successfully":
                assert services[other].get("restart", "no") == "no", f"{other} never completes: it is restarted"


def test_it_starts_without_any_setting_from_the_outside() -> None:
    text = FILE.read_text("utf-8")
    without_default = re.findall(r"(?<!\$)\$\{(\w+)\}", text)
    assert without_default == []


def test_ports_are_published_on_the_local_machine_only(stack: dict[str, Any]) -> None:
    published = [port for service in stack["services"].values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_airflow_knows_every_command_and_every_setting_of_its_services(airflow_services: dict[str, Service]) -> None:
    from airflow.cli.cli_parser import get_parser
    from airflow.configuration import conf

    known = {f"AIRFLOW__{section}__{option}".upper() for section, option in options(conf.configuration_description)}
    for name, service in airflow_services.items():
        if service["command"][0] != "celery":
            get_parser().parse_args(service["command"])
        settings = {key for key in service["environment"] if key.startswith("AIRFLOW__")}
        assert {key for key in settings if not key.startswith("AIRFLOW__CELERY__")} <= known, name


def test_the_celery_provider_knows_the_command_and_the_settings_of_the_worker(
    airflow_services: dict[str, Service],
) -> None:
    pytest.importorskip("airflow.providers.celery", reason="the celery provider is not installed")
    from airflow.cli.cli_parser import get_parser
    from airflow.providers.celery.get_provider_info import get_provider_info as celery_info

    known = {f"AIRFLOW__{section}__{option}".upper() for section, option in options(celery_info()["config"])}
    worker = airflow_services["airflow-worker"]
    get_parser().parse_args(worker["command"])
    for service in airflow_services.values():
        settings = {key for key in service["environment"] if key.startswith("AIRFLOW__CELERY__")}
        assert {"AIRFLOW__CELERY__BROKER_URL", "AIRFLOW__CELERY__RESULT_BACKEND"} <= settings <= known
        assert service["environment"]["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"


def options(sections: dict[str, Any]) -> set[tuple[str, str]]:
    return {(section, option) for section, found in sections.items() for option in found["options"]}


def test_whatever_airflow_is_told_to_reach_is_a_service_of_the_stack(
    stack: dict[str, Any], airflow_services: dict[str, Service]
) -> None:
    text = json.dumps(airflow_services["airflow-worker"]["environment"])
    hosts = {
        host.rpartition("@")[2] for host in re.findall(r"(?:redis|http|postgresql|psycopg2)://([\w@:.-]+?)[:/]", text)
    }
    assert {"redis", "s3", "azurite", "ravendb", "airflow-api-server"} <= hosts
    assert {host.rpartition("@")[2] for host in re.findall(r"@([a-z-]+)/airflow", text)} == {"postgres"}
    assert {host for host in hosts if host != "airflow"} <= set(stack["services"])


@pytest.fixture
def connections(airflow_services: dict[str, Service], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The stack's Connections by variable, defined for one test as the containers define them."""
    environment = airflow_services["airflow-scheduler"]["environment"]
    found = {k: v for k, v in environment.items() if k.startswith("AIRFLOW_CONN_") and v is not None}
    for variable, value in found.items():
        monkeypatch.setenv(variable, value)
    return {variable: json.loads(value) for variable, value in found.items()}


def test_the_connections_are_of_types_that_the_provider_defines(connections: dict[str, Any]) -> None:
    ours = {kind["connection-type"] for kind in get_provider_info()["connection-types"]}
    assert connections
    assert {connection["conn_type"] for connection in connections.values()} - ours == {"aws", "sftp", "wasb"}


def test_the_hooks_understand_the_connections_and_find_every_store(
    stack: dict[str, Any], connections: dict[str, Any]
) -> None:
    from airflow.sdk import BaseHook

    from raven_backup_provider.hooks.connection_settings import transport_settings
    from raven_backup_provider.hooks.storage import open_destination

    (url,) = transport_settings(BaseHook.get_connection("ravendb_default")).urls
    host = urlsplit(url)
    assert host.hostname in stack["services"]
    assert stack["services"][host.hostname]["environment"]["RAVEN_ServerUrl"].endswith(f":{host.port}")
    where = {
        "ravendb_backups": "/backups",
        "ravendb_s3": "s3:9000/backups/ravendb",
        "ravendb_azure": "azurite",
        "ravendb_sftp": "sftp",
    }
    for conn_id, part in where.items():
        assert part in open_destination(conn_id).identity


def test_the_server_wide_configuration_has_no_fault_and_names_connections_of_the_stack(
    stack: dict[str, Any], connections: dict[str, Any], tmp_path: Path
) -> None:
    from raven_backup_provider.server_wide.config_reader import read_config

    (tmp_path / "demo.yaml").write_text(stack["configs"]["server-wide"]["content"])
    config = read_config(tmp_path / "demo.yaml")
    assert config.problems == ()
    (task,) = config.tasks
    for conn_id in (task.ravendb_conn_id, *task.destinations):
        assert f"AIRFLOW_CONN_{conn_id.upper()}" in connections


def test_every_part_of_airflow_has_the_same_configuration_and_dag_files(airflow_services: dict[str, Service]) -> None:
    def of(service: Service) -> tuple[Any, ...]:
        environment = {k: v for k, v in service["environment"].items() if k != "DUMB_INIT_SETSID"}
        return service["image"], environment, service["volumes"], service["configs"]

    first = of(airflow_services["airflow-scheduler"])
    assert [name for name, service in airflow_services.items() if of(service) != first] == []
    environment = airflow_services["airflow-worker"]["environment"]
    assert environment["RAVEN_BACKUP_CONFIG"] in airflow_services["airflow-worker"]["configs"][0]["target"]
    assert environment["RAVEN_BACKUP_INVENTORY"].startswith("variable:")


def test_ravendb_and_the_workers_see_the_backups_under_the_same_path(stack: dict[str, Any]) -> None:
    services = stack["services"]
    for name in ("ravendb", "airflow-worker", "airflow-triggerer"):
        assert "backups:/backups" in services[name]["volumes"], name


def test_the_image_is_built_from_files_that_the_build_context_lets_through(stack: dict[str, Any]) -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").split() if line.startswith("!")}
    assert {"raven_backup_provider", "pyproject.toml", "README.md", "LICENSE"} == allowed
    assert all((ROOT / name).exists() for name in allowed)
    assert all("build" in service for name, service in stack["services"].items() if name.startswith("airflow-"))


# --- what is run before Airflow starts ----------------------------------------------------------------------------------


def test_the_keys_of_the_sftp_server_let_airflow_in_and_are_kept_at_the_next_start(
    stack: dict[str, Any], tmp_path: Path
) -> None:
    shell, options, script = stack["services"]["sftp-keys"]["command"]
    for name in ("keys", "airflow", "srv/backups"):
        (tmp_path / name).mkdir(parents=True)
        script = script.replace(f"/{name}", f"{tmp_path}/{name}")
    script = "chown() { :; }\n" + script  # there is no user keeper here
    for _ in range(2):
        subprocess.run([shell, options, script], check=True, timeout=60)
    kept = {path.name: path.read_text() for path in (tmp_path / "airflow").iterdir()}
    subprocess.run([shell, options, script], check=True, timeout=60)
    assert kept == {path.name: path.read_text() for path in (tmp_path / "airflow").iterdir()}
    assert (tmp_path / "airflow" / "id_ed25519").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "keys" / "authorized_keys").read_text() == kept["id_ed25519.pub"]
    assert kept["known_hosts"].split()[1:] == (tmp_path / "keys" / "host_key.pub").read_text().split()[:2]
    assert kept["known_hosts"].split()[0] == "sftp"
    # sshd itself reads the command line of the service with these keys.
    sshd = ensure_program("sshd", package="openssh-server")
    words = [word.replace("/keys/", f"{tmp_path}/keys/") for word in stack["services"]["sftp"]["command"][1:]]
    Path("/run/sshd").mkdir(exist_ok=True)
    checked = subprocess.run([str(sshd), "-t", *words[2:]], capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.slow
@pytest.mark.integration
def test_the_bucket_the_container_and_the_first_database_are_made_once(
    connections: dict[str, Any], monkeypatch: pytest.MonkeyPatch, raven71: RavenServer
) -> None:
    from raven_backup_provider.hooks.storage import open_destination

    with moto_server() as s3, Azurite() as azure:
        store = connections["AIRFLOW_CONN_RAVENDB_S3"]
        store["extra"] |= {"endpoint_url": s3.url, "verify": s3.ca}
        blobs = connections["AIRFLOW_CONN_RAVENDB_AZURE"]
        given = blobs["extra"]["connection_string"]
        blobs["extra"]["connection_string"] = given.replace("http://azurite:10000", azure.endpoint)
        monkeypatch.setenv("AIRFLOW_CONN_RAVENDB_S3", json.dumps(store))
        monkeypatch.setenv("AIRFLOW_CONN_RAVENDB_AZURE", json.dumps(blobs))
        monkeypatch.setenv("RAVENDB_URL", raven71.url)
        for _ in range(2):
            compose_start.main()
        for conn_id in ("ravendb_s3", "ravendb_azure"):
            assert list(open_destination(conn_id).list_files("")) == []
    assert compose_start.DATABASE in data.database_names(raven71)
    assert data.statistics(raven71, compose_start.DATABASE)["CountOfDocuments"] > 1000
