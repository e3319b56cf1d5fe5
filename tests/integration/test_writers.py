"""Ten writers hammer the database while backups run: what was written is there, what was deleted is gone, nothing is stale."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from demo.sandbox import RavenServer, data
from demo.sandbox.endpoint import Endpoint, open_session
from raven_backup_provider.core.model import BackupKind
from tests.support.backups import Backups
from tests.support.restores import assert_restores_to, restored
from tests.support.servers import MakeDatabase

pytestmark = [pytest.mark.integration, pytest.mark.slow]

WRITERS = 10
INCREMENTALS = 3
SECONDS_BETWEEN = 1.0


@dataclass(frozen=True)
class Write:
    """One write that the server has confirmed; ``number`` None: the document was deleted."""

    begun: float
    ended: float
    identifier: str
    number: int | None


@dataclass
class Writer:
    """Puts, updates and deletes documents of its own, a few in each request, and notes what was confirmed when."""

    server: RavenServer
    database: str
    name: int
    writes: list[Write] = field(default_factory=list)
    failure: BaseException | None = None

    def run(self, stop: threading.Event) -> None:
        try:
            endpoint = Endpoint(self.server.url, open_session())
            data.put_document(
                endpoint, self.database, f"counted/{self.name}", {"@metadata": {"@collection": "Counted"}}
            )
            dice, numbers = random.Random(self.name), itertools.count()
            while not stop.is_set():
                self._write(endpoint, dice, numbers)
        except BaseException as failure:
            self.failure = failure

    def _write(self, endpoint: Endpoint, dice: random.Random, numbers: Iterator[int]) -> None:
        identifiers = [f"w{self.name}/{dice.randrange(400)}" for _ in range(dice.randint(1, 8))]
        delete, begun, number = dice.random() < 0.3, time.monotonic(), next(numbers)
        if delete:
            data.delete_documents(endpoint, self.database, identifiers)
        else:
            document = {"Number": number, "Text": "x" * 300, "@metadata": {"@collection": "Writes"}}
            data.put_documents(endpoint, self.database, ((i, document) for i in identifiers))
            # Of a document that is never deleted; what becomes of others: test_known_differences.py.
            data.increment_counter(endpoint, self.database, f"counted/{self.name}", "writes")
        ended = time.monotonic()
        self.writes += [Write(begun, ended, i, None if delete else number) for i in identifiers]


@contextmanager
def _writing(server: RavenServer, database: str) -> Iterator[list[Writer]]:
    writers, stop = [Writer(server, database, number) for number in range(WRITERS)], threading.Event()
    threads = [threading.Thread(target=writer.run, args=(stop,)) for writer in writers]
    for thread in threads:
        thread.start()
    try:
        yield writers
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    for writer in writers:
        assert writer.failure is None, writer.failure


@pytest.mark.parametrize("version", ["raven71", pytest.param("raven54", marks=pytest.mark.long)])
def test_nothing_is_missing_and_nothing_is_stale(
    request: pytest.FixtureRequest, database: MakeDatabase, tmp_path: Path, version: str
) -> None:
    server: RavenServer = request.getfixturevalue(version)
    name = database(server, "hammered")
    backups = Backups(server, name, tmp_path)
    runs: list[tuple[float, float, str]] = []
    with _writing(server, name) as writers:
        time.sleep(SECONDS_BETWEEN)
        for _ in range(1 + INCREMENTALS):
            begun = time.monotonic()
            point = backups.take().key
            runs.append((begun, time.monotonic(), point))
            time.sleep(SECONDS_BETWEEN)
    last = backups.take()
    (chain,) = backups.catalog().chains
    assert [p.manifest.kind for p in chain.points] == [BackupKind.FULL] + (INCREMENTALS + 1) * [BackupKind.INCREMENTAL]
    assert chain.points[-1].key == last.key

    writes = [write for writer in writers for write in writer.writes]
    assert len(writes) > 500, "the writers hardly wrote"
    assert_restores_to(backups, backups.state())
    for begun, ended, point in runs:
        with restored(backups, point) as copy:
            _assert_holds_what_was_certain(server, copy, writes, begun, ended)


def _assert_holds_what_was_certain(
    server: RavenServer, copy: str, writes: list[Write], begun: float, ended: float
) -> None:
    """Documents whose last write was confirmed before the backup began, and that nobody touched until it ended, are just so."""
    by_document: dict[str, list[Write]] = defaultdict(list)
    for write in writes:
        if write.begun <= ended:
            by_document[write.identifier].append(write)
    expected = {i: ws[-1].number for i, ws in by_document.items() if ws[-1].ended < begun}
    assert len(expected) > 50, "there was nothing to compare"
    found = {i: d for i, d in _numbers(server, copy).items() if i in expected}
    assert found == {i: number for i, number in expected.items() if number is not None}


def _numbers(server: RavenServer, database: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for start in itertools.count(step=1_000):
        page = server.get_json(data.path(database, "docs"), params={"start": start, "pageSize": 1_000})["Results"]
        found.update({d["@metadata"]["@id"]: d["Number"] for d in page if "Number" in d})
        if not page:
            return found
    raise AssertionError("unreachable")
