"""A full and three incrementals written straight to an SFTP server and to an FTPS server restore to the source.

RavenDB itself cannot restore from either: the worker reads them back, verifies, and imports over HTTP.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from demo.sandbox import RavenServer, data
from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.model import BackupKind, RequestedKind
from raven_backup_provider.destinations.server_folder import ServerDestination
from raven_backup_provider.jobs.backup_request import Outcome
from tests.support.backups import Backups
from tests.support.ftpd import PyFtpd
from tests.support.restores import assert_equal, by_our_stream_mode, restored_state
from tests.support.rounds import ROUNDS
from tests.support.sshd import SshServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@dataclass
class ServerBackups(Backups):
    """As Backups, but the destination is on a file server."""

    file_server: Any = None
    place: ServerDestination | None = None

    @property
    def destination(self) -> ServerDestination:  # type: ignore[override]
        if self.place is None:
            self.place = self.file_server.destination(self.root)
        return self.place


@pytest.fixture(scope="module", params=["sftp", "ftps"])
def file_server(request: pytest.FixtureRequest) -> Iterator[Any]:
    with SshServer() if request.param == "sftp" else PyFtpd(tls=True) as running:
        yield running


@pytest.fixture(scope="module")
def chain(raven71: RavenServer, file_server: Any) -> Iterator[ServerBackups]:
    """A full and three incrementals, encrypted; ``states[n]`` is the source's content when the n-th file was made."""
    data.create_database(raven71, "shop")
    backups = ServerBackups(raven71, "shop", file_server.new_root(), EncryptionKey.generate(), file_server=file_server)
    for change in ROUNDS:
        change(raven71, "shop")
        backups.states.append(backups.state())
        assert backups.take().outcome is Outcome.CREATED
    yield backups
    data.delete_database(raven71, "shop")


def test_the_chain_is_one_full_and_three_incrementals_and_nothing_else_is_left(chain: ServerBackups) -> None:
    (only,) = chain.catalog().chains
    assert only.is_complete
    assert [p.manifest.kind for p in only.points] == [BackupKind.FULL] + 3 * [BackupKind.INCREMENTAL]
    assert len(chain.files()) == 8  # each with its manifest; no lease, no partial file


@pytest.mark.parametrize("number", range(4))
def test_every_point_restores_to_the_source_of_that_moment(chain: ServerBackups, number: int) -> None:
    point = chain.catalog().chains[0].points[number].key
    found = restored_state(chain, point, by_our_stream_mode)
    assert_equal(chain.states[number], found, incrementals=number)


def test_nothing_changed_makes_no_file(chain: ServerBackups) -> None:
    before = chain.files()
    assert chain.take().outcome is Outcome.UNCHANGED
    assert chain.files() == before


def test_a_backup_goes_through_while_the_line_breaks(chain: ServerBackups, file_server: Any) -> None:
    result = chain.take(RequestedKind.FULL, on_step=lambda step: file_server.cut())
    assert result.outcome is Outcome.CREATED
    newest = chain.catalog().newest_chain
    assert newest is not None
    found = restored_state(chain, newest.points[0].key, by_our_stream_mode)
    assert_equal(chain.state(), found, incrementals=0)
    assert not list(Path(chain.root).rglob("*.in-progress"))
