"""Two chains that many tests of jobs read: taken once on a real server, copied where a test damages them."""

from __future__ import annotations

import dataclasses
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demo.sandbox import RavenServer, data
from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.raven.transport import Transport
from tests.support.backups import Backups, put_some

_numbers = itertools.count(1)


def _chain(server: RavenServer, root: Path, name: str, key: EncryptionKey | None = None) -> Backups:
    """A full and two incrementals: documents 0-2, then 3-5, then 6-8; ``items/0`` goes before the third."""
    data.create_database(server, name)
    put_some(server, name, 1)
    # Does not compress, so the file is longer than one block of the encryption (4113 bytes).
    data.put_attachment(server, name, "items/0", "noise", os.urandom(20_000))
    backups = Backups(server, name, root, key)
    for number in range(3):
        put_some(server, name, 3, start=3 * number)
        if number == 2:
            data.delete_document(server, name, "items/0")
        backups.take()
    return backups


@pytest.fixture(scope="module")
def plain_chain(raven71: RavenServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backups]:
    """A plain chain of three files on 7.1.5; do not change its folder."""
    backups = _chain(raven71, tmp_path_factory.mktemp("plain"), f"jobs-plain-{os.getpid()}")
    yield backups
    data.delete_database(raven71, backups.database)


@pytest.fixture(scope="module")
def sealed_chain(raven71: RavenServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backups]:
    """An encrypted chain of three files on 7.1.5, the full larger than one encrypted block; do not change its folder."""
    name = f"jobs-sealed-{os.getpid()}"
    backups = _chain(raven71, tmp_path_factory.mktemp("sealed"), name, EncryptionKey.generate())
    yield backups
    data.delete_database(raven71, name)


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[[Backups], Backups]:
    """A copy of a chain's folder that the test may damage."""

    def copy(backups: Backups) -> Backups:
        root = tmp_path / f"copy-{next(_numbers)}"
        shutil.copytree(backups.root, root)
        return dataclasses.replace(backups, root=root)

    return copy


@pytest.fixture
def transport71(raven71: RavenServer) -> Iterator[Transport]:
    """A transport to the shared 7.1.5 server."""
    from tests.support.backups import settings_of

    with Transport(settings_of(raven71)) as transport:
        yield transport
