"""A full and three incrementals restore to every one of their points, by RavenDB alone and by us, and equal the source then.

One chain for each server version and encryption, taken once, restored many times. What repeats is left to the
long tests: the middle points of the encrypted ones (which files a point needs does not depend on what is inside), and the encrypted
one of the middle version.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from demo.sandbox import data
from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.model import BackupKind, Compression
from raven_backup_provider.jobs.backup_request import Outcome
from tests.support.backups import Backups
from tests.support.restores import (
    Way,
    assert_equal,
    by_our_server_mode,
    by_our_stream_mode,
    by_ravendb_alone,
    restore_by_ravendb,
    restored_state,
)
from tests.support.rounds import ROUNDS
from tests.support.servers import ServerPool

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

WAYS = [by_our_stream_mode, by_ravendb_alone, by_our_server_mode]
WAY_NAMES = ["by our stream mode", "by RavenDB alone", "by our server mode"]


@dataclass(frozen=True)
class Case:
    version: str
    encrypted: bool
    compression: Compression

    def __str__(self) -> str:
        return f"{self.version} {'encrypted' if self.encrypted else 'plain'} {self.compression}"


CASES = [
    Case("7.1.5", False, Compression.ZSTD),
    Case("7.1.5", True, Compression.GZIP),
    Case("6.2.4", False, Compression.GZIP),
    Case("6.2.4", True, Compression.ZSTD),
    Case("5.4.207", False, Compression.ZSTD),
    Case("5.4.207", True, Compression.GZIP),
]


def params(*encrypted: bool) -> list[Any]:
    """The cases of these kinds."""
    long = Case("6.2.4", True, Compression.ZSTD)
    return [
        pytest.param(case, id=str(case), marks=pytest.mark.long if case == long else ())
        for case in CASES
        if case.encrypted in encrypted
    ]


@pytest.fixture(scope="module", params=params(False, True))
def chain(
    request: pytest.FixtureRequest, server_pool: ServerPool, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Backups]:
    """A full and three incrementals; ``states[n]`` is the source's content when the n-th file was made."""
    case: Case = request.param
    with server_pool.lend(case.version) as server:
        data.create_database(server, "shop")
        key = EncryptionKey.generate() if case.encrypted else None
        backups = Backups(server, "shop", tmp_path_factory.mktemp("chain"), key)
        for change in ROUNDS:
            change(server, "shop")
            backups.states.append(backups.state())
            result = backups.take(compression=case.compression)
            assert (result.outcome, result.manifest.compression) == (Outcome.CREATED, case.compression)
        yield backups


def test_the_chain_is_one_full_and_three_incrementals(chain: Backups) -> None:
    (only,) = chain.catalog().chains
    assert only.is_complete
    assert [p.manifest.kind for p in only.points] == [BackupKind.FULL] + 3 * [BackupKind.INCREMENTAL]


def restores_to_the_source_of_that_moment(chain: Backups, number: int, way: Way) -> None:
    point = chain.catalog().chains[0].points[number].key
    assert_equal(chain.states[number], restored_state(chain, point, way), incrementals=number)


@pytest.mark.parametrize("chain", params(False), indirect=True)
@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("way", WAYS, ids=WAY_NAMES)
def test_every_point_restores_to_the_source_of_that_moment(chain: Backups, number: int, way: Way) -> None:
    restores_to_the_source_of_that_moment(chain, number, way)


@pytest.mark.parametrize("chain", params(True), indirect=True)
@pytest.mark.parametrize("number", [0, *(pytest.param(n, marks=pytest.mark.long) for n in (1, 2)), 3])
@pytest.mark.parametrize("way", WAYS, ids=WAY_NAMES)
def test_every_point_of_an_encrypted_chain_restores_to_the_source_of_that_moment(
    chain: Backups, number: int, way: Way
) -> None:
    restores_to_the_source_of_that_moment(chain, number, way)


def test_ravendb_restores_the_whole_folder_when_told_nothing_but_the_folder(chain: Backups) -> None:
    folder = Path(chain.root / chain.catalog().chains[0].folder)
    restore_by_ravendb(chain.server, folder, "whole", key=chain.key)
    assert_equal(chain.states[-1], chain.state("whole"), incrementals=3)
