"""Three destinations behind a primary, and one is down: the others finish, the run says which failed, the audit heals it.

By the example DAGs, as Airflow runs them, with an SSH server that is really stopped; by the command for each of the three (two
of them among the long tests: a server that is not there is asked again and again).
The healed place then restores to the source.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from demo.sandbox import RavenServer, data
from demo.sandbox.database_state import database_state
from raven_backup_provider.core.model import RequestedKind
from raven_backup_provider.destinations.folder import FolderDestination
from tests.cli.conftest import RavenBackup, own_logging, raven_backup
from tests.support.airflow_fixtures import RunDag, SetConnection
from tests.support.backups import Backups, put_some
from tests.support.made_chain import contents
from tests.support.restores import assert_equal
from tests.support.servers import MakeDatabase
from tests.support.stores import Stores

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
__all__ = ["own_logging", "raven_backup"]

DAGS = Path(__file__).resolve().parents[2] / "dags"
COPIES = ("s3", "azure", "sftp")


@pytest.fixture(scope="module")
def stores() -> Iterator[Stores]:
    with Stores() as running:
        yield running


@dataclass
class Company:
    """A database with a primary, and where its copies go."""

    backups: Backups
    addresses: dict[str, str]

    @property
    def primary(self) -> str:
        return f"file://{self.backups.root}"

    def missed(self) -> None:
        """What is taken while one is down: the end of the chain that all have, and a new chain."""
        server, shop = self.backups.server, self.backups.database
        data.delete_document(server, shop, "items/1")
        put_some(server, shop, 3, start=10)
        self.backups.take()
        put_some(server, shop, 3, start=20)
        self.backups.take(RequestedKind.FULL, clock=lambda: datetime.now(timezone.utc) + timedelta(minutes=5))
        data.put_attachment(server, shop, "items/20", "late", b"late" * 1000)
        self.backups.take(clock=lambda: datetime.now(timezone.utc) + timedelta(minutes=6))


@pytest.fixture
def company(raven71: RavenServer, database: MakeDatabase, stores: Stores, tmp_path: Path) -> Company:
    """A full in all four places."""
    shop = database(raven71, "shop")
    put_some(raven71, shop, 5)
    backups = Backups(raven71, shop, tmp_path / "primary")
    backups.take()
    return Company(backups, {kind: stores.new(kind) for kind in COPIES})


def keys_at(address: str) -> list[str]:
    return [file.key for file in Stores.open(address).list_files("") if not file.key.endswith(".verified.json")]


@pytest.mark.parametrize("down", ["s3", *(pytest.param(kind, marks=pytest.mark.long) for kind in ("azure", "sftp"))])
def test_the_command_copies_to_the_others_names_the_one_and_its_audit_heals_it(
    company: Company, stores: Stores, raven_backup: RavenBackup, database: MakeDatabase, down: str
) -> None:
    shop, server = company.backups.database, company.backups.server
    everywhere = [word for address in company.addresses.values() for word in ("--destination", address)]
    copy = ["copy", "--database", shop, "--source", company.primary, *everywhere, "--select", "all"]
    assert raven_backup(*copy).code == 0
    company.missed()
    with stores.down(down):
        answer = raven_backup(*copy, "--json")
        assert answer.code == 3  # the same command can succeed later
        failed = [one["destination"] for one in answer.document["destinations"] if one.get("error")]
        assert failed == [Stores.open(company.addresses[down]).identity]
        audit = ["audit", "--database", shop, "--destination", company.primary, *everywhere]
        unhealed = raven_backup(*audit, "--heal")
        assert unhealed.code == 3
        assert "unreachable" in unhealed.out
    expected = keys_at(company.primary)
    assert len(expected) == 8
    for kind in COPIES:
        assert keys_at(company.addresses[kind]) == (expected[:2] if kind == down else expected)

    healed = raven_backup(*audit, "--heal", "--json")
    assert (healed.code, healed.document["ok"], healed.document["healed"]) == (0, True, 3), healed.err
    assert contents(Stores.open(company.addresses[down])) == contents(FolderDestination(company.backups.root))
    target = database(server, "restored", create=False)
    restore = ["restore", "--database", shop, "--destination", company.addresses[down], "--target", target]
    restored = raven_backup(*restore, "--url", server.url)
    assert restored.code == 0, restored.err
    assert_equal(company.backups.state(), database_state(server, target), incrementals=1)


def example(dag_id: str) -> Any:
    """The DAG, read anew, without retries: nothing shall wait here for a server to come back."""
    from airflow.dag_processing.dagbag import DagBag

    dag = DagBag(str(DAGS)).dags[dag_id]
    for task in dag.tasks:
        if task.is_mapped:
            task.partial_kwargs["retries"] = 0  # type: ignore[union-attr]
        else:
            task.retries = 0
    return dag


@pytest.mark.slow
def test_the_dags_copy_to_the_others_the_failed_task_bears_the_name_and_the_audit_heals_the_oldest_chain_first(
    company: Company, stores: Stores, run_dag: RunDag, set_connection: SetConnection, database: MakeDatabase
) -> None:
    shop, server = company.backups.database, company.backups.server
    set_connection("ravendb_default", "ravendb", host=server.url)
    set_connection("ravendb_backups", "ravendb_backup_folder", extra={"path": str(company.backups.root)})
    form = {"database": shop, "destinations": list(company.addresses.values()), "selection": "all"}
    assert run_dag(example("ravendb_copy"), form).state == "success"
    company.missed()
    with stores.down("sftp"):
        run = run_dag(example("ravendb_copy"), form)
    copies = [ti for ti in run.get_task_instances() if ti.task_id == "copy"]
    assert run.state == "failed"
    assert {ti.rendered_map_index: str(ti.state) for ti in copies} == {
        address: "failed" if kind == "sftp" else "success" for kind, address in company.addresses.items()
    }

    audited = {"database": shop, "destinations": ["ravendb_backups", *company.addresses.values()], "grace_minutes": 0}
    assert run_dag(example("ravendb_audit"), audited).state == "success"
    expected = contents(FolderDestination(company.backups.root))
    for address in company.addresses.values():
        assert contents(Stores.open(address)) == expected
    root = Path("/" + company.addresses["sftp"].partition("@/")[2])
    arrived = sorted((path.stat().st_mtime_ns, str(path.relative_to(root))) for path in root.rglob("*.manifest.json"))
    assert [name for _, name in arrived] == [key for key in expected if key.endswith(".manifest.json")]

    target = database(server, "restored", create=False)
    form = {"database": shop, "target": target, "destination": company.addresses["sftp"]}
    assert run_dag(example("ravendb_restore"), form).state == "success"
    assert_equal(company.backups.state(), database_state(server, target), incrementals=1)
