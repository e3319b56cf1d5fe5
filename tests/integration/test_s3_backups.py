"""Backups of a real RavenDB straight to S3 and back: chains restore equal, and failures on the way leave no half restore point.

Against moto over HTTPS. What few rights allow: test_s3_minimal_policy.py.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.sandbox import RavenServer, data
from raven_backup_provider.core.errors import MissingRightError
from raven_backup_provider.core.model import BackupKind
from raven_backup_provider.jobs.backup_request import Outcome
from raven_backup_provider.jobs.steps import Step
from raven_backup_provider.jobs.verify import verify
from tests.support.backups_s3 import S3Backups
from tests.support.restores import assert_equal, by_our_stream_mode, restore_by_ravendb, restored_state
from tests.support.rounds import ROUNDS
from tests.support.s3_fault_proxy import FaultProxy
from tests.support.s3_servers import MotoServer, moto_server

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def moto() -> Iterator[MotoServer]:
    with moto_server() as running:
        yield running


@pytest.fixture(scope="module")
def chain(moto: MotoServer, raven71: RavenServer, tmp_path_factory: pytest.TempPathFactory) -> S3Backups:
    """A full and three incrementals; ``states[n]`` is the source's content when the n-th was made."""
    data.create_database(raven71, "shop")
    backups = S3Backups(raven71, "shop", tmp_path_factory.mktemp("s3"), store=moto, bucket=moto.new_bucket())
    for change in ROUNDS:
        change(raven71, "shop")
        assert backups.take_and_remember().outcome is Outcome.CREATED
    return backups


def test_the_chain_on_s3_is_one_full_and_three_incrementals_and_verifies(chain: S3Backups) -> None:
    (only,) = chain.catalog().chains
    assert only.is_complete
    assert [p.manifest.kind for p in only.points] == [BackupKind.FULL] + 3 * [BackupKind.INCREMENTAL]
    assert verify(chain.destination, "shop").ok
    assert chain.take().outcome is Outcome.UNCHANGED
    assert chain.destination.sweep_partial("") == []


@pytest.mark.parametrize("number", range(4))
def test_every_point_on_s3_restores_to_the_source_of_that_moment(chain: S3Backups, number: int) -> None:
    point = chain.catalog().chains[0].points[number].key
    assert_equal(chain.states[number], restored_state(chain, point, by_our_stream_mode), incrementals=number)


def test_ravendb_restores_the_files_as_they_lie_in_the_bucket(chain: S3Backups, tmp_path: Path) -> None:
    (folder,) = (c.folder for c in chain.catalog().chains)
    for file in chain.destination.list_files(folder):
        path = tmp_path / file.key.rpartition("/")[2]
        with chain.destination.open_read(file.key) as source, path.open("wb") as copy:
            shutil.copyfileobj(source, copy)
    restore_by_ravendb(chain.server, tmp_path, "copied-from-s3")
    assert_equal(chain.states[-1], chain.state("copied-from-s3"), incrementals=3)


def fill(server: RavenServer, database: str) -> None:
    """Some MB that do not compress."""
    documents = (
        (f"blobs/{n}", {"Text": os.urandom(4000).hex(), "@metadata": {"@collection": "Blobs"}}) for n in range(2500)
    )
    data.put_documents(server, database, documents)


@pytest.fixture(scope="module")
def filled(raven71: RavenServer) -> str:
    data.create_database(raven71, "filled")
    fill(raven71, "filled")
    return "filled"


@pytest.fixture
def proxy(moto: MotoServer) -> Iterator[FaultProxy]:
    with FaultProxy(moto) as running:
        yield running


@pytest.fixture
def through_proxy(moto: MotoServer, proxy: FaultProxy, raven71: RavenServer, filled: str, tmp_path: Path) -> S3Backups:
    return S3Backups(
        raven71, filled, tmp_path, store=moto, bucket=moto.new_bucket(), client=proxy.client(read_timeout=5)
    )


def test_parts_are_uploaded_while_the_export_still_runs(through_proxy: S3Backups, proxy: FaultProxy) -> None:
    sent: dict[Step, int] = {}
    through_proxy.take(on_step=lambda step: sent.__setitem__(step, proxy.passed("upload_part")))
    assert sent[Step.EXPORT_BEGINS] == 0
    assert sent[Step.ACCEPT] >= 1
    assert verify(through_proxy.destination, "filled").ok


def test_a_storm_of_errors_during_the_export_is_waited_out(through_proxy: S3Backups, proxy: FaultProxy) -> None:
    proxy.fail_every_second("upload_part", 503, "SlowDown")
    proxy.lose_answer("complete_multipart_upload")
    original = through_proxy.state()
    assert through_proxy.take().outcome is Outcome.CREATED
    assert_equal(original, restored_state(through_proxy, _newest(through_proxy), by_our_stream_mode), incrementals=0)


@pytest.mark.parametrize("operation", ["upload_part", "complete_multipart_upload", "put_object"])
def test_a_backup_that_could_not_be_written_is_no_point_and_the_next_one_is(
    through_proxy: S3Backups, proxy: FaultProxy, operation: str
) -> None:
    only = (lambda r: "manifest" in r.target) if operation == "put_object" else (lambda r: True)
    proxy.fail(operation, 403, "AccessDenied", times=99, after=0, only=only)
    with pytest.raises(MissingRightError, match="s3:PutObject"):
        through_proxy.take()
    assert through_proxy.catalog().points() == []
    proxy.forget()
    result = through_proxy.take()
    assert result.outcome is Outcome.CREATED
    assert [p.key for p in through_proxy.catalog().points()] == [result.key]
    assert through_proxy.destination.sweep_partial("") == []


def _newest(backups: S3Backups) -> str:
    return backups.catalog().chains[-1].points[-1].key
