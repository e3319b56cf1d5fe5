"""Each kind of destination as the first place backups go to: a full and two incrementals, plain and encrypted, restored equal.

Restored from an address and a Connection, as users do: the plain ones by the command, the encrypted ones by the operators (most
of these among the long tests: a store does not know what it keeps).
Restores of every single point, and what happens while servers fail, are in the file of each kind.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred

from demo.sandbox import RavenServer, data
from demo.sandbox.database_state import DatabaseState
from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.errors import RavenBackupError
from raven_backup_provider.core.model import BackupKind
from raven_backup_provider.operators.restore import RavenDBRestoreOperator
from raven_backup_provider.operators.verify import RavenDBVerifyBackupOperator
from tests.cli.conftest import RavenBackup, own_logging, raven_backup
from tests.support.airflow_fixtures import SetConnection
from tests.support.backups import Backups
from tests.support.restores import assert_equal
from tests.support.rounds import ROUNDS
from tests.support.servers import MakeDatabase
from tests.support.stores import ARCHIVES, KINDS, Stores
from tests.support.task_context import Task

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
__all__ = ["own_logging", "raven_backup"]

POINTS = 3
#: One that keeps files as they come and one that must be asked for them. The file servers' own tests are encrypted, too.
ENCRYPTED_TOO = ("s3", "vault")


@dataclass
class AtAddress(Backups):
    """Backups whose destination is an address."""

    address: str = ""

    @cached_property
    def destination(self) -> Destination:  # type: ignore[override]
        return Stores.open(self.address)


@dataclass
class Primaries:
    """One database, backed up to every place after each round of changes; ``states[n]``: its content then.

    :param failures: of places whose backups failed: their own tests tell.
    """

    stores: Stores
    server: RavenServer
    database: str
    key: EncryptionKey
    places: dict[tuple[str, bool], AtAddress]
    states: list[DatabaseState] = field(default_factory=list)
    failures: dict[tuple[str, bool], RavenBackupError] = field(default_factory=dict)

    def round(self, change: Any) -> None:
        change(self.server, self.database)
        for name in data.subscription_names(self.server, self.database):
            # An unlicensed server that has seen many databases come and go refuses to restore them.
            data.delete_subscription(self.server, self.database, name)
        self.states.append(next(iter(self.places.values())).state())
        for which, backups in self.places.items():
            try:
                backups.take()
            except RavenBackupError as error:
                self.failures.setdefault(which, error)

    def at(self, kind: str, *, encrypted: bool) -> AtAddress:
        """Its chain, which is what it should be."""
        if (kind, encrypted) in self.failures:
            raise self.failures[kind, encrypted]
        backups = self.places[kind, encrypted]
        (chain,) = backups.catalog().chains
        assert chain.is_complete
        assert [p.manifest.kind for p in chain.points] == [BackupKind.FULL] + (POINTS - 1) * [BackupKind.INCREMENTAL]
        assert [p.manifest.encryption is not None for p in chain.points] == POINTS * [encrypted]
        return backups


@pytest.fixture(scope="module")
def stores() -> Iterator[Stores]:
    with Stores() as running:
        yield running


@pytest.fixture(scope="module")
def primaries(request: pytest.FixtureRequest, stores: Stores, raven71: RavenServer) -> Primaries:
    """At the places that the tests of this run ask for."""
    data.create_database(raven71, "shop")
    key = EncryptionKey.generate()
    here = [item.name for item in request.session.items if item.path == request.path]
    places = {
        (kind, encrypted): AtAddress(
            raven71, "shop", Path("/nowhere"), key if encrypted else None, address=stores.new(kind)
        )
        for kind, encrypted in itertools.product(KINDS, (False, True))
        if any(name.endswith(f"[{kind}]") and ("_an_encrypted_chain_" in name) == encrypted for name in here)
    }
    made = Primaries(stores, raven71, "shop", key, places)
    for change in ROUNDS[:POINTS]:
        made.round(change)
    return made


@pytest.fixture
def target(raven71: RavenServer, database: MakeDatabase) -> str:
    return database(raven71, "restored", create=False)


@pytest.mark.parametrize("kind", KINDS)
def test_a_chain_taken_straight_there_is_verified_and_restored_equal_by_the_command(
    primaries: Primaries, kind: str, raven_backup: RavenBackup, target: str
) -> None:
    backups = primaries.at(kind, encrypted=False)
    place = ["--destination", backups.address, "--database", "shop"]
    more = ["--retrieve"] if kind in ARCHIVES else []
    listed = raven_backup("list", *place, "--json")
    assert [point["kind"] for point in listed.document["databases"][0]["points"]] == ["full", *2 * ["incremental"]]
    verified = primaries.stores.until_retrieved(raven_backup, "verify", *place, *more)
    assert verified.code == 0, verified.err
    restore = ["restore", *place, "--url", primaries.server.url, "--target", target, *more]
    restored = primaries.stores.until_retrieved(raven_backup, *restore)
    assert restored.code == 0, restored.err
    assert_equal(primaries.states[-1], backups.state(target), incrementals=2)


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind in ENCRYPTED_TOO else pytest.mark.long) for kind in KINDS]
)
def test_an_encrypted_chain_taken_straight_there_is_verified_and_restored_equal_by_the_operators(
    primaries: Primaries, kind: str, set_connection: SetConnection, target: str
) -> None:
    backups = primaries.at(kind, encrypted=True)
    set_connection("ravendb_default", "ravendb", host=primaries.server.url)
    set_connection("backup_key", "ravendb_backup_key", password=primaries.key.base64())
    common: dict[str, Any] = {
        "task_id": "t",
        "database": "shop",
        "destination": backups.address,
        "encryption_key_conn_id": "backup_key",
    }
    if kind in ARCHIVES:
        common["retrieval_tier"] = "standard"
    verified = executed(primaries.stores, RavenDBVerifyBackupOperator(**common))
    assert verified["ok"]
    restored = executed(primaries.stores, RavenDBRestoreOperator(**common, target=target))
    assert (restored["mode"], restored["files"]) == ("stream", POINTS)
    assert_equal(primaries.states[-1], backups.state(target), incrementals=2)


def executed(stores: Stores, operator: Any) -> Any:
    """What the operator returns; after a wait in the triggerer, where it waits for an archive."""
    task = Task()
    try:
        return operator.execute(task.context())
    except TaskDeferred as deferred:
        stores.pass_hours(5)
        return getattr(operator, deferred.method_name)(
            task.context(), event={"status": "ready"}, **(deferred.kwargs or {})
        )
