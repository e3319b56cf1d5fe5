"""A backup to a place that holds none of those taken before: a new mount point, a wrong path, or really a new place."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo.sandbox import RavenServer
from tests.support.backups import Backups, put_some
from tests.support.servers import MakeDatabase

pytestmark = pytest.mark.integration


def test_the_full_that_starts_anew_says_in_log_and_manifest_that_there_were_backups_before(
    raven71: RavenServer, database: MakeDatabase, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shop = database(raven71, "shop")
    put_some(raven71, shop)
    first = Backups(raven71, shop, tmp_path / "a").take()
    assert first.manifest.warnings == ()
    elsewhere = Backups(raven71, shop, tmp_path / "b")
    caplog.clear()
    (warning,) = elsewhere.take().manifest.warnings
    assert f"folder:{tmp_path / 'b'} holds none of them" in warning
    assert warning in caplog.text
    put_some(raven71, shop, 3, start=10)
    assert elsewhere.take().manifest.warnings == ()
