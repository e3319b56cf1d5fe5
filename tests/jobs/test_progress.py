"""How far an export is, in the log: what is known, and nothing that is not."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from demo.sandbox import RavenServer, data
from raven_backup_provider.core.model import Compression, RequestedKind
from raven_backup_provider.jobs import progress
from raven_backup_provider.jobs.cancellation import Cancellation
from raven_backup_provider.jobs.progress import ByteProgress
from tests.support.backups import Backups
from tests.support.servers import MakeDatabase


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage() for record in caplog.records if "so far" in record.getMessage()]
    caplog.clear()
    return found


def watched(sizes: list[int], last_full: int | None, seconds_each: float = 20.0) -> None:
    """An export in pieces of these sizes, one every so many seconds."""
    now = [0.0]

    def chunks() -> object:
        for size in sizes:
            now[0] += seconds_each
            yield bytes(size)

    export = ByteProgress("Export of shop", Cancellation(), last_full, monotonic=lambda: now[0])
    assert sum(map(len, export.watch(chunks()))) == sum(sizes)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _all_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "raven_backup_provider")


def test_the_time_left_is_judged_by_the_last_full_and_said_to_be(caplog: pytest.LogCaptureFixture) -> None:
    watched([1000] * 4, last_full=10_000)
    first, second = lines(caplog)  # after 40 and 80 seconds: a line in half a minute at most
    assert "2,000 bytes in 40.0 s" in first
    assert first.endswith(", about 2 min 40 s left (judging by the last full, 10,000 bytes).")
    assert ", about 2 min 00 s left" in second


@pytest.mark.parametrize("last_full", [None, 0, 1500])
def test_where_nothing_tells_how_long_it_takes_nothing_is_said(
    caplog: pytest.LogCaptureFixture, last_full: int | None
) -> None:
    watched([1000] * 4, last_full)
    assert [line.rpartition(")")[2] for line in lines(caplog)] == [" so far."] * 2


@pytest.mark.integration
def test_only_a_full_like_the_last_one_is_judged_by_it(
    raven71: RavenServer,
    database: MakeDatabase,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = database(raven71, "shop")
    data.put_document(raven71, shop, "a/1", {"x": 1})
    data.put_attachment(raven71, shop, "a/1", "noise", os.urandom(2_000_000))  # comes in many pieces
    backups = Backups(raven71, shop, tmp_path)
    monkeypatch.setattr(progress, "INTERVAL", 0.0)

    size = backups.take(RequestedKind.FULL).manifest.file.size
    assert not any("left" in line for line in lines(caplog))
    backups.take(RequestedKind.FULL)
    assert f"judging by the last full, {size:,} bytes" in lines(caplog)[0]
    data.put_attachment(raven71, shop, "a/1", "more", os.urandom(500_000))
    assert str(backups.take().manifest.kind) == "incremental"
    assert not any("left" in line for line in lines(caplog))
    backups.take(RequestedKind.FULL, compression=Compression.GZIP)
    assert not any("left" in line for line in lines(caplog))
