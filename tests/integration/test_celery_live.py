"""Generated DAGs under CeleryExecutor: workers, DAG processor, triggerer, scheduler and API server share no disk.

Each is a machine of its own (tests/support/machines.py), with PostgreSQL and Redis from Debian. Backups go to S3 over HTTPS (moto)
and to an OpenSSH server; what RavenDB writes itself goes to a folder that only workers and the server see, under different paths.
"""

from __future__ import annotations

import base64
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from demo.sandbox import RavenServer, data
from demo.sandbox.database_state import database_state
from raven_backup_provider.core.catalog import Chain, find_database_folder, read_catalog
from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.inventory import DatabaseState, Inventory, InventoryEntry
from raven_backup_provider.core.inventory_file import InventoryFile, inventory_path
from raven_backup_provider.core.model import Engine
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.destinations.s3 import S3Destination
from raven_backup_provider.jobs.restore import run_restore
from raven_backup_provider.jobs.restore_plan import plan_restore
from raven_backup_provider.raven.transport import Transport
from raven_backup_provider.server_wide.dag_ids import database_dag_id
from tests.support.backups import settings_of
from tests.support.celery_airflow import HOME, SHARED, CeleryAirflow, PatientApi, remove_disks
from tests.support.live_airflow import eventually
from tests.support.machines import ROOT, SRV, need_machines
from tests.support.postgres import postgres, redis
from tests.support.restores import assert_equal, restore_by_ravendb
from tests.support.s3_servers import MotoServer, moto_server
from tests.support.sshd import SshServer

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(1500)]

DISCOVERY = "server_wide_discovery.ravendb_default"
NEVER = {"full_backup_frequency": "0 3 1 1 *", "ravendb_conn_id": "ravendb_default"}
#: Each step of a lane is sent to another worker than the step before.
QUEUES = {
    "discover": "a",
    "alarm": "b",
    "status": "b",
    "backup": "a",
    "verify": "b",
    "retention": "a",
    "copies.copy": "b",
    "copies.verify": "a",
    "copies.retention": "b",
    "server_wide_discovery.ravendb_third/alarm": "a",
    "server_wide_backup.slow.large/backup": "",
}
HOST_OF_QUEUE = {"a": "worker-a", "b": "worker-b"}
SECONDS = 400
#: Lists that each machine keeps for itself, which is wrong.
UNSHARED = SRV / "lists"
UNSHARED_DAGS = f"""
# airflow dag
from raven_backup_provider.server_wide.build import build_dags

globals().update(build_dags(config_folder="{HOME}/unshared", inventory="{UNSHARED}", discovery_schedule=None))
"""


@dataclass
class Live:
    """The running parts, seen from outside."""

    airflow: CeleryAirflow
    api: PatientApi
    server: RavenServer
    key: EncryptionKey
    s3: MotoServer
    bucket: str
    box: SshServer
    box_root: Path

    def primary(self, prefix: str = "ravendb") -> Destination:
        return S3Destination(self.s3.client(), self.bucket, prefix)

    def copies(self) -> Destination:
        return self.box.destination(self.box_root)

    def runs(self, dag_id: str) -> list[Mapping[str, Any]]:
        if dag_id not in self.api._dag_ids():
            return []
        found = self.api._call("GET", f"dags/{quote(dag_id)}/dagRuns", params={"order_by": "run_after"})
        return list(found["dag_runs"])

    def wait_for_run(self, dag_id: str, count: int, *states: str) -> Mapping[str, Any]:
        """Wait until a DAG has had so many runs and the last of them is in one of these states."""
        eventually(
            lambda: len(found := self.runs(dag_id)) >= count and found[-1]["state"] in states,
            SECONDS,
            lambda: (
                f"{dag_id}: {[(r['run_type'], r['state']) for r in self.runs(dag_id)]}\n"
                f"{[self.tasks(r) for r in self.runs(dag_id)[-1:]]}\n{self.airflow.log_tail()}"
            ),
        )
        return self.runs(dag_id)[-1]

    def start(self, dag_id: str, **conf: Any) -> None:
        self.api.trigger(dag_id, dag_id, conf)

    def tasks(self, run: Mapping[str, Any]) -> dict[str, tuple[str | None, str | None, int]]:
        """Of each task: state, the machine that ran it last, how many tries."""
        path = f"dags/{quote(run['dag_id'])}/dagRuns/{quote(run['dag_run_id'], safe='')}/taskInstances"
        found = self.api._call("GET", path)["task_instances"]
        return {one["task_id"]: (one["state"], one["hostname"], one["try_number"]) for one in found}

    def wait_for_task(self, dag_id: str, task_id: str, *states: str) -> None:
        def reached() -> bool:
            runs = self.runs(dag_id)
            return bool(runs) and self.tasks(runs[-1]).get(task_id, (None, None, 0))[0] in states

        eventually(reached, SECONDS, lambda: f"{[self.tasks(r) for r in self.runs(dag_id)]}\n{self.airflow.log_tail()}")

    def task_log(self, machine: str, dag_id: str, task_id: str) -> str:
        """What a task wrote on that machine's own disk."""
        folder = self.airflow.machines[machine].path(HOME / "logs")
        files = sorted(folder.glob(f"dag_id={dag_id}/*/task_id={task_id}/**/*.log"))  # mapped tasks have a folder each
        return "\n".join(file.read_text(errors="replace") for file in files)

    def restored_equals(self, destination: Destination, database: str, target: str) -> None:
        with Transport(settings_of(self.server)) as transport:
            plan = plan_restore(
                destination, database, transport, target=target, mode="stream", point="latest", key=self.key
            )
            run_restore(plan, transport, destination, key=self.key)
        try:
            chain = newest_chain(destination, database)
            found = database_state(self.server, target)
            assert_equal(database_state(self.server, database), found, incrementals=len(chain.points) - 1)
        finally:
            data.delete_database(self.server, target)


def newest_chain(destination: Destination, database: str) -> Chain:
    folder = find_database_folder(destination, database)
    assert folder is not None, f"no backup of {database} at {destination.identity}"
    chain = read_catalog(destination, folder).chains[-1]
    assert chain.is_complete
    return chain


def configuration(bucket: str, box_root: Path) -> dict[str, Any]:
    copies = f"sftp://box@{box_root}"
    nightly = {
        **NEVER,
        "name": "nightly",
        "databases": {"include": ["shop", "Größe"]},
        "incremental_backup_frequency": "30 3 1 1 *",
        "destinations": [f"s3://store@{bucket}/ravendb", copies],
        "retention": {"keep_last": 3},
        "encryption_key_conn_id": "backup_key",
        "verify": {"where": "all"},
        "pool": "one-at-a-time",
        "retries": 1,
        "retry_delay_minutes": 0.1,
    }
    slow = {
        **NEVER,
        "name": "slow",
        "disabled": True,
        "databases": {"include": ["large"]},
        "queue": "near-the-data",
        "destinations": [f"s3://store@{bucket}/slow?bandwidth_mb=0.5&part_mb=5"],
        "retries": 6,
        "retry_delay_minutes": 0.5,
    }
    by_server = {
        **NEVER,
        "name": "by server",
        "disabled": True,
        "engine": "server",
        "databases": {"include": ["shop"]},
        "destinations": ["shared_backups", copies + "/by-server?create=true"],
        "retries": 1,
        "retry_delay_minutes": 0.1,
    }
    return {"version": 1, "tasks": [nightly, slow, by_server]}


def unshared(bucket: str) -> dict[str, Any]:
    tasks = [
        {
            **NEVER,
            "name": conn_id,
            "ravendb_conn_id": conn_id,
            "databases": {"include": ["shop"]},
            "destinations": [f"s3://store@{bucket}/unshared"],
        }
        for conn_id in ("ravendb_other", "ravendb_third")
    ]
    return {"version": 1, "tasks": tasks}


def connections(
    server: RavenServer, box: SshServer, airflow: CeleryAirflow, key: EncryptionKey
) -> list[dict[str, Any]]:
    def one(conn_id: str, conn_type: str, extra: Mapping[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
        return {"connection_id": conn_id, "conn_type": conn_type, "extra": json.dumps(extra or {}), **fields}

    folder = {"path": str(SHARED), "server_path": str(airflow.shared), "require_mount": True}
    login = {"private_key": box.private_key, "host_key": box.host_key}
    return [
        *(one(f"ravendb_{name}", "ravendb", host=server.url) for name in ("default", "other", "third")),
        one("backup_key", "ravendb_backup_key", password=key.base64()),
        one("shared_backups", "ravendb_backup_folder", folder),
        one("box", "sftp", login, host="127.0.0.1", port=box.port, login=box.user.name),
    ]


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    pytest.importorskip("airflow.providers.celery", reason="the extra `celery` is not installed")
    need_machines()
    with ExitStack() as stack:
        # Not below pytest's folder, which only its owner may enter.
        base = Path(tempfile.mkdtemp(prefix="raven-celery-"))
        base.chmod(0o755)
        stack.callback(remove_disks, base)
        server = stack.enter_context(RavenServer("7.1.5"))
        s3, box = stack.enter_context(moto_server()), stack.enter_context(SshServer())
        database, broker = stack.enter_context(postgres(base / "postgres")), stack.enter_context(redis(base))
        fill(server)
        bucket, root, key = s3.new_bucket(), box.new_root(), EncryptionKey.generate()
        airflow = CeleryAirflow(
            base,
            database=database,
            broker=broker,
            files={
                "dags/ravendb_server_wide.py": (ROOT / "dags" / "ravendb_server_wide.py").read_text(),
                "dags/ravendb_server_wide/production.yaml": yaml.safe_dump(configuration(bucket, root)),
                "ca.pem": Path(s3.ca).read_text(),
                "dags/unshared.py": UNSHARED_DAGS,
                "unshared/lists.yaml": yaml.safe_dump(unshared(bucket)),
            },
            queues=QUEUES,
            settings={"RAVEN_BACKUP_INVENTORY": "variable:raven_backup"},
        )
        stack.callback(airflow.stop)
        airflow.start().wait_until_ready()
        api = PatientApi(airflow)
        found = Live(airflow, api, server, key, s3, bucket, box, root)
        for connection in connections(server, box, airflow, key):
            api._call("POST", "connections", json=connection)
        api._call("POST", "connections", json=s3_connection(s3))
        api._call("POST", "pools", json={"name": "one-at-a-time", "slots": 1, "include_deferred": True})
        airflow.start_worker("worker-a", "a")
        airflow.start_worker("worker-b", "b")
        yield found


def s3_connection(s3: MotoServer) -> dict[str, Any]:
    extra = {"endpoint_url": s3.url, "region_name": "us-east-1", "verify": str(HOME / "ca.pem")}
    return {
        "connection_id": "store",
        "conn_type": "aws",
        "login": s3.key,
        "password": s3.secret,
        "extra": json.dumps(extra),
    }


def fill(server: RavenServer) -> None:
    for name in ("shop", "Größe", "large"):
        data.create_database(server, name)
        data.put_documents(server, name, [(f"items/{n}", {"n": n, "of": name}) for n in range(30)])
    blobs = ((f"blobs/{n}", {"Text": base64.b64encode(os.urandom(4000)).decode()}) for n in range(6000))
    data.put_documents(server, "large", blobs)


def dag_of(database: str, task: str = "nightly") -> str:
    return database_dag_id(task, database)


def assert_each_step_ran_at_its_worker(found: Mapping[str, tuple[str | None, str | None, int]], hosts: Any) -> None:
    assert found == {task: ("success", hosts[QUEUES[task]], 1) for task in found}
    assert len({host for _, host, _ in found.values()}) == 2


@pytest.mark.parametrize("database", ["shop", "Größe"])
def test_no_step_needs_the_disk_of_the_worker_that_did_the_step_before(live: Live, database: str) -> None:
    # The discovery ran on a worker, the DAGs are made by the DAG processor, and the first backup is taken at once.
    run = live.wait_for_run(dag_of(database), 1, "success", "failed")
    found = live.tasks(run)
    assert {"backup", "verify", "retention", "copies.copy", "copies.verify", "copies.retention"} == set(found)
    failed = [(task, str(host)) for task, (state, host, _) in found.items() if state == "failed"]
    assert not failed, live.task_log(failed[0][1], dag_of(database), failed[0][0])[-4000:]
    assert_each_step_ran_at_its_worker(found, HOST_OF_QUEUE)
    live.restored_equals(live.primary(), database, "restored-from-primary")
    live.restored_equals(live.copies(), database, "restored-from-copy")


def test_a_pool_of_one_slot_lets_one_backup_run_at_a_time(live: Live) -> None:
    times = []
    for database in ("shop", "Größe"):
        run = live.wait_for_run(dag_of(database), 1, "success")
        path = f"dags/{quote(run['dag_id'])}/dagRuns/{quote(run['dag_run_id'], safe='')}/taskInstances/backup"
        found = live.api._call("GET", path)
        assert found["pool"] == "one-at-a-time"
        times.append((found["start_date"], found["end_date"]))
    (_, first_end), (second_start, _) = sorted(times)
    assert first_end <= second_start


def test_nothing_that_counts_is_left_on_a_worker(live: Live) -> None:
    for name in ("worker-a", "worker-b"):
        machine = live.airflow.machines[name]
        left = [path for top in ("srv", "tmp") for path in machine.path(top).rglob("*") if path.is_file()]
        assert [path for path in left if "ravendb" in path.name and path.suffix not in (".py", ".log", ".yaml")] == []


def test_lists_that_are_not_shared_are_told_instead_of_databases_going_without_backups(live: Live) -> None:
    since = datetime.now(timezone.utc) - timedelta(days=1)
    known = Inventory("ravendb_third", "u", since, (InventoryEntry("shop", DatabaseState.ONLINE, since),))
    disk_of_a = live.airflow.machines["worker-a"]
    InventoryFile(inventory_path(disk_of_a.path(UNSHARED), "ravendb_third")).write(known)
    said = {}
    for conn_id in ("ravendb_other", "ravendb_third"):
        dag_id = f"server_wide_discovery.{conn_id}"
        live.api.wait_for_dags([dag_id])
        live.start(dag_id)
        run = live.wait_for_run(dag_id, 1, "success", "failed")
        (_, host, _) = live.tasks(run)["alarm"]
        assert {task: state for task, (state, _, _) in live.tasks(run).items()} == {
            "discover": "success",
            "alarm": "failed",
        }
        said[conn_id] = live.task_log(str(host), dag_id, "alarm")
    # On the worker that has no list, and on the one that has it while the DAG processor does not.
    assert f"on another worker than this one, which finds none in {UNSHARED}" in said["ravendb_other"]
    assert f"but Airflow has no DAG {dag_of('shop', 'ravendb_third')}, so it is not backed up" in said["ravendb_third"]
    assert "RAVEN_BACKUP_INVENTORY=variable:" in said["ravendb_third"]


def test_a_server_backup_is_waited_for_by_the_triggerer_and_finished_by_another_worker(live: Live) -> None:
    live.wait_for_run(DISCOVERY, 1, "success")
    dag_id = dag_of("shop", "by server")
    live.api.wait_for_dags([dag_id])
    live.airflow.machines["triggerer"].power_off()  # so that the wait cannot be over before the worker is
    live.start(dag_id)
    live.wait_for_task(dag_id, "backup", "deferred")
    live.airflow.machines["worker-a"].power_off()
    live.airflow.start_triggerer()
    live.airflow.start_worker("worker-c", "a")
    run = live.wait_for_run(dag_id, 1, "success", "failed")
    found = live.tasks(run)
    assert found["backup"][:2] == ("success", "worker-c")
    assert {state for state, _, _ in found.values()} == {"success"}
    chain = newest_chain(FolderDestination(live.airflow.shared), "shop")
    assert chain.points[0].manifest.engine is Engine.SERVER
    restore_by_ravendb(live.server, live.airflow.shared / chain.folder, "restored-by-server")
    data.delete_database(live.server, "restored-by-server")
    # The triggerer has not seen the folder: nothing is mounted there, and nothing was made there.
    assert not live.airflow.machines["triggerer"].path(SHARED).exists()


def test_a_chain_is_continued_by_a_worker_whose_disk_is_empty(live: Live) -> None:
    for name, machine in live.airflow.machines.items():
        if name.startswith("worker-") and name != "worker-b":
            machine.power_off()
    live.airflow.start_worker("worker-d", "a")
    data.put_document(live.server, "shop", "items/new", {"of": "shop"})
    live.start(dag_of("shop"))
    run = live.wait_for_run(dag_of("shop"), 2, "success", "failed")
    assert_each_step_ran_at_its_worker(live.tasks(run), {"a": "worker-d", "b": "worker-b"})
    assert len(newest_chain(live.primary(), "shop").points) == 2
    live.restored_equals(live.copies(), "shop", "restored-incremental")


def test_a_backup_whose_machine_loses_power_is_made_by_another_one_and_only_once(live: Live) -> None:
    dag_id = dag_of("large", "slow")
    live.api.wait_for_dags([dag_id])
    lost = live.airflow.start_worker("worker-lost", "near-the-data")
    live.start(dag_id)
    client = live.s3.client()

    def uploading() -> bool:
        return bool(client.list_multipart_uploads(Bucket=live.bucket, Prefix="slow/").get("Uploads"))

    eventually(uploading, SECONDS, live.airflow.log_tail)
    time.sleep(2)  # some way into it
    lost.power_off()
    assert any("lease" in key for key in keys(client, live.bucket, "slow/")), "its right to write was not given back"
    live.airflow.start_worker("worker-new", "near-the-data")  # in its place, with an empty disk
    run = live.wait_for_run(dag_id, 1, "success", "failed")
    found = live.tasks(run)
    assert found["backup"][:2] == ("success", "worker-new"), found
    assert found["backup"][2] > 1
    chain = newest_chain(live.primary("slow"), "large")
    assert len(chain.points) == 1
    assert not uploading(), "the parts of the lost try are still there"
    live.restored_equals(live.primary("slow"), "large", "restored-large")


def keys(client: Any, bucket: str, prefix: str) -> list[str]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [one["Key"] for page in pages for one in page.get("Contents", ())]
