"""docker-compose.yaml is valid: by the compose client where there is one, always by what the parts accept.

No container engine is needed, and none is used.
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

from raven_backup_provider.get_provider_info import get_provider_info

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "docker-compose.yaml"
Service = dict[str, Any]


@pytest.fixture(scope="module")
def stack() -> dict[str, Any]:
    document = yaml.safe_load(FILE.read_text("utf-8"))
    assert isinstance(document, dict)
    return document


@pytest.fixture(scope="module")
def airflow_services(stack: dict[str, Any]) -> dict[str, Service]:
    found = {name: service for name, service in stack["services"].items() if name.startswith("airflow-")}
    assert {"airflow-api-server", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer"} <= set(found)
    return found


def has_compose() -> bool:
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not has_compose(), reason="the docker client with its compose plugin is not installed")
def test_the_compose_client_accepts_the_file() -> None:
    done = subprocess.run(["docker", "compose", "-f", str(FILE), "config", "-q"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_service_names_an_image_and_only_what_the_file_defines(stack: dict[str, Any]) -> None:
    services, volumes = stack["services"], set(stack["volumes"])
    for name, service in services.items():
        assert service.get("image"), name
        assert set(service.get("depends_on", {})) <= set(services), name
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            assert source in volumes or source.startswith("./"), f"{name} mounts {source}, which is not declared"


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

    for name, service in airflow_services.items():
        get_parser().parse_args(service["command"])
        for variable in service["environment"]:
            if variable.startswith("AIRFLOW__"):
                _, section, option = variable.lower().split("__")
                assert option in conf.configuration_description[section]["options"], f"{name}: {variable}"


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
    assert {connection["conn_type"] for connection in connections.values()} <= ours


def test_the_hooks_understand_the_connections_and_find_ravendb_and_the_shared_folder(
    stack: dict[str, Any], connections: dict[str, Any]
) -> None:
    from airflow.sdk import BaseHook

    from raven_backup_provider.hooks.connection_settings import transport_settings
    from raven_backup_provider.hooks.storage import open_destination

    (url,) = transport_settings(BaseHook.get_connection("ravendb_default")).urls
    host = urlsplit(url)
    assert host.hostname in stack["services"]
    assert stack["services"][host.hostname]["environment"]["RAVEN_ServerUrl"].endswith(f":{host.port}")
    assert "/backups" in open_destination("ravendb_backups").identity


def test_ravendb_and_the_workers_see_the_backups_under_the_same_path(stack: dict[str, Any]) -> None:
    services = stack["services"]
    for name in ("ravendb", "airflow-scheduler", "airflow-triggerer"):
        assert "backups:/backups" in services[name]["volumes"], name


def test_the_image_is_built_from_files_that_the_build_context_lets_through(stack: dict[str, Any]) -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").split() if line.startswith("!")}
    assert {"raven_backup_provider", "pyproject.toml", "README.md", "LICENSE"} == allowed
    assert all((ROOT / name).exists() for name in allowed)
    assert all("build" in service for name, service in stack["services"].items() if name.startswith("airflow-"))
