"""Long work survives, on a running Airflow and a real server: whoever dies, there is one backup, and a kill reaches RavenDB."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from demo.airflow_api import AirflowApi
from demo.sandbox import RavenServer, data
from raven_backup_provider.core.catalog import RestorePoint, find_database_folder, read_catalog
from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.destinations.folder import FolderDestination
from tests.support.live_airflow import LiveAirflow, QuickAirflow, eventually
from tests.support.servers import MakeDatabase

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]

DAGS = ("backup_sync", "backup_deferred", "backup_stream", "restore_sync", "restore_deferred")
#: 200 documents at this rate keep the server busy for some ten seconds.
SLOWLY = "20"


@dataclass
class Stage:
    """What all tests of this file share."""

    server: RavenServer
    root: Path
    airflow: LiveAirflow
    key: EncryptionKey


@dataclass
class Subject:
    """One database of one test."""

    stage: Stage
    name: str

    def points(self) -> list[RestorePoint]:
        destination = FolderDestination(self.stage.root)
        folder = find_database_folder(destination, self.name)
        return read_catalog(destination, folder).points() if folder is not None else []

    def backups(self) -> list[str]:
        """States of the backup operations that the server remembers."""
        told = self.stage.server.get_json(f"/databases/{self.name}/operations")["Results"]
        return sorted(one["State"]["Status"] for one in told if "Backup" in one["Description"]["TaskType"])

    def wait_for_backups(self, *states: str) -> None:
        eventually(lambda: self.backups() == list(states), 120, lambda: str(self.backups()))


@pytest.fixture(scope="module")
def stage(raven71_tls: RavenServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    root, key = tmp_path_factory.mktemp("backups"), EncryptionKey.generate()
    root.chmod(0o777)
    secured = {
        "client_private_key_pem": raven71_tls.admin_certificate.pem.read_text(),
        "ca_pem": raven71_tls.ca_pem.read_text(),
    }
    connections: dict[str, dict[str, Any]] = {
        "ravendb_default": {"conn_type": "ravendb", "host": raven71_tls.url, "extra": secured},
        "ravendb_backups": {
            "conn_type": "ravendb_backup_folder",
            "extra": {"path": str(root), "server_path": str(root)},
        },
        "backup_key": {"conn_type": "ravendb_backup_key", "password": key.base64()},
    }
    dags = Path(__file__).parent / "live_dags"
    with QuickAirflow(tmp_path_factory.mktemp("airflow"), dags=dags, connections=connections) as airflow:
        airflow.wait_until_ready()
        api = AirflowApi(airflow)
        api.wait_for_dags(DAGS)
        yield Stage(raven71_tls, root, LiveAirflow(airflow, api), key)


@pytest.fixture
def subject(stage: Stage, database: MakeDatabase) -> Subject:
    name = database(stage.server, "live")
    data.put_documents(stage.server, name, [(f"items/{n}", {"n": n}) for n in range(200)])
    return Subject(stage, name)


@pytest.mark.parametrize("lost", [pytest.param("task", marks=pytest.mark.long), "task and supervisor"])
def test_a_worker_killed_hard_while_the_server_works_leads_to_one_backup(subject: Subject, lost: str) -> None:
    airflow = subject.stage.airflow
    run = airflow.trigger("backup_sync", database=subject.name, ops=SLOWLY)
    subject.wait_for_backups("InProgress")
    if lost == "task":
        airflow.kill_worker(run)
    else:
        airflow.kill_worker_and_supervisor(run)
    task = airflow.wait_for(run, "success", "failed")
    assert (task["state"], task["try_number"]) == ("success", 2)
    assert subject.backups() == ["Completed"]
    assert [p.key for p in subject.points()] == [airflow.result(run)["key"]]
    assert task["max_tries"] == 2, "a plain retry must not look like a clear"


def test_a_worker_killed_hard_while_it_exports_leads_to_one_backup(subject: Subject) -> None:
    airflow, server = subject.stage.airflow, subject.stage.server
    data.fill(server, subject.name, 40_000, collection="Large")
    run = airflow.trigger("backup_stream", database=subject.name)
    eventually(lambda: bool(list(subject.stage.root.glob(f"{subject.name}/*/*.in-progress"))), 120)
    airflow.kill_worker(run)
    task = airflow.wait_for(run, "success", "failed")
    assert (task["state"], task["try_number"]) == ("success", 2)
    assert [p.key for p in subject.points()] == [airflow.result(run)["key"]]
    assert list(subject.stage.root.rglob("*.in-progress")) == []


def test_a_triggerer_killed_hard_leads_to_one_backup(subject: Subject) -> None:
    airflow = subject.stage.airflow
    run = airflow.trigger("backup_deferred", database=subject.name, ops=SLOWLY)
    airflow.wait_for(run, "deferred")
    airflow.server.restart("triggerer")
    task = airflow.wait_for(run, "success", "failed", seconds=180)
    assert (task["state"], task["try_number"]) == ("success", 1)
    assert subject.backups() == ["Completed"]
    assert len(subject.points()) == 1


def test_a_scheduler_killed_hard_leads_to_one_backup(subject: Subject) -> None:
    airflow = subject.stage.airflow
    run = airflow.trigger("backup_deferred", database=subject.name, ops=SLOWLY)
    airflow.wait_for(run, "deferred")
    airflow.server.restart("scheduler")
    assert airflow.wait_for(run, "success", "failed", seconds=180)["state"] == "success"
    assert subject.backups() == ["Completed"]
    assert len(subject.points()) == 1


@pytest.mark.parametrize("way", [pytest.param("sync", marks=pytest.mark.long), "deferred"])
def test_mark_failed_cancels_the_backup_on_the_server(subject: Subject, way: str) -> None:
    airflow = subject.stage.airflow
    run = airflow.trigger(f"backup_{way}", database=subject.name, ops="5")
    subject.wait_for_backups("InProgress")
    if way == "deferred":
        airflow.wait_for(run, "deferred")
        eventually(lambda: "trigger" in airflow.logs(run), 90)
    airflow.mark_failed(run)
    subject.wait_for_backups("Canceled")
    assert subject.points() == []


@pytest.mark.parametrize("dag_id", [pytest.param("backup_sync", marks=pytest.mark.long), "backup_stream"])
def test_clear_after_a_success_takes_another_backup(subject: Subject, dag_id: str) -> None:
    airflow = subject.stage.airflow
    run = airflow.trigger(dag_id, database=subject.name)
    airflow.wait_for(run, "success")
    first = airflow.result(run)["key"]
    airflow.clear(run)
    eventually(lambda: int(airflow.task(run)["try_number"]) == 2, 90)
    task = airflow.wait_for(run, "success", "failed")
    assert task["state"] == "success"
    assert task["max_tries"] == 3, "Airflow 3.3 raises max_tries on a clear, which is how the operators notice it"
    assert [p.key for p in subject.points()] == [first, airflow.result(run)["key"]]


def test_clear_while_deferred_cancels_the_old_backup_and_takes_a_new_one(subject: Subject) -> None:
    airflow = subject.stage.airflow
    # Slower than the others: the next try must begin before this one's backup has ended by itself.
    run = airflow.trigger("backup_deferred", database=subject.name, ops="10")
    airflow.wait_for(run, "deferred")
    airflow.clear(run)
    eventually(lambda: int(airflow.task(run)["try_number"]) == 2, 90)
    assert airflow.wait_for(run, "success", "failed")["state"] == "success"
    assert subject.backups() == ["Canceled", "Completed"]
    assert len(subject.points()) == 1


def test_a_worker_killed_hard_during_a_restore_leads_to_one_restore(subject: Subject, database: MakeDatabase) -> None:
    airflow, server = subject.stage.airflow, subject.stage.server
    airflow.wait_for(airflow.trigger("backup_stream", database=subject.name), "success")
    target = database(server, "restored", create=False)
    run = airflow.trigger("restore_sync", database=subject.name, target=target)
    eventually(lambda: "Restoring" in airflow.logs(run) or target in data.database_names(server), 120)
    airflow.kill_worker(run)
    task = airflow.wait_for(run, "success", "failed")
    assert task["state"] == "success", airflow.logs(run)
    assert data.statistics(server, target)["CountOfDocuments"] == 200


def test_a_deferred_restore_works_and_clearing_it_never_touches_the_restored_database(
    subject: Subject, database: MakeDatabase
) -> None:
    airflow, server = subject.stage.airflow, subject.stage.server
    airflow.wait_for(airflow.trigger("backup_stream", database=subject.name, key="backup_key"), "success")
    target = database(server, "restored", create=False)
    run = airflow.trigger("restore_deferred", database=subject.name, target=target, key="backup_key")
    airflow.wait_for(run, "success")
    airflow.clear(run)
    eventually(lambda: int(airflow.task(run)["try_number"]) == 2, 90)
    task = airflow.wait_for(run, "success", "failed")
    assert task["state"] == "failed"
    assert "would destroy it" in airflow.logs(run)
    assert data.statistics(server, target)["CountOfDocuments"] == 200


def test_no_secret_is_in_any_log_database_xcom_or_rendered_field(subject: Subject) -> None:
    airflow, stage = subject.stage.airflow, subject.stage
    good = airflow.trigger("backup_stream", database=subject.name, key="backup_key")
    bad = airflow.trigger(
        "backup_sync", database=subject.name, key="backup_key"
    )  # needs a licence: fails in pre-flight
    airflow.wait_for(good, "success")
    airflow.wait_for(bad, "failed")
    pem = stage.server.admin_certificate.key_pem.read_text().splitlines()
    secrets = [stage.key.base64(), stage.key.raw.hex(), *(line for line in pem if not line.startswith("-"))]
    shown = str([(airflow.logs(run), airflow.rendered(run)) for run in (good, bad)]) + str(airflow.result(good))
    files = [path for path in airflow.server.home.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in files)
    manifests = list(stage.root.rglob("*.manifest.json"))
    assert manifests
    for secret in secrets:
        assert secret not in shown
        for path in (*files, *manifests):
            assert secret.encode() not in path.read_bytes(), f"a secret is in {path}"


def test_the_user_interface_gets_a_form_for_each_connection_type_and_the_test_button_works(stage: Stage) -> None:
    forms = stage.airflow.connection_forms()
    names = {kind: form["hook_name"] for kind, form in forms.items() if kind.startswith("ravendb")}
    assert names == {
        "ravendb": "RavenDB",
        "ravendb_backup_key": "RavenDB Backup Key",
        "ravendb_backup_folder": "RavenDB Backup Folder",
    }
    assert forms["ravendb"]["standard_fields"]["host"]["title"] == "Node URLs"
    assert "client_private_key_pem" in forms["ravendb"]["extra_fields"]
    extra = {"client_certificate_path": str(stage.server.admin_certificate.pem), "ca_path": str(stage.server.ca_pem)}
    good = stage.airflow.press_test(conn_type="ravendb", host=stage.server.url, extra=json.dumps(extra))
    assert good["status"], good
    assert "RavenDB 7.1.5" in good["message"]
    bad = stage.airflow.press_test(conn_type="ravendb", host=stage.server.url, extra="{}")
    assert not bad["status"]
    assert "certificate" in bad["message"]
    key = stage.airflow.press_test(conn_type="ravendb_backup_key", password=stage.key.base64())
    assert key["status"], key
    assert stage.key.key_id in key["message"]
