"""A worker whose clock was once years ahead: what is restored by time is what was there at that time, or nothing."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from demo.sandbox import RavenServer, data
from raven_backup_provider.core.errors import RestoreRefusedError
from raven_backup_provider.jobs.restore_plan import files_needed
from tests.cli.conftest import RavenBackup
from tests.support.backups import Backups
from tests.support.servers import MakeDatabase

pytestmark = pytest.mark.integration


@pytest.mark.timeout(300)
def test_the_state_of_now_is_restored_although_a_name_years_ahead_stands_before_it(
    raven71: RavenServer,
    database: MakeDatabase,
    tmp_path: Path,
    raven_backup: RavenBackup,
) -> None:
    shop = database(raven71, "shop")
    backups = Backups(raven71, shop, tmp_path)
    ahead = timedelta(days=5 * 365)
    made = []
    for number, error in enumerate((timedelta(0), ahead, timedelta(0))):
        data.put_document(raven71, shop, f"items/{number}", {"n": number})
        made.append(backups.take(clock=lambda by=error: datetime.now(timezone.utc) + by))
    assert [str(one.manifest.kind) for one in made] == ["full", "incremental", "incremental"]
    assert made[2].key.rpartition("/")[2] > made[1].key.rpartition("/")[2]

    now = datetime.now(timezone.utc)
    restored = database(raven71, "restored", create=False)
    place = ["--database", shop, "--destination", f"{tmp_path}/", "--url", raven71.url]
    answer = raven_backup("restore", *place, "--target", restored, "--point", now.isoformat(), "--json")
    assert answer.code == 0, answer.err
    assert data.get_document(raven71, restored, "items/2") is not None

    with pytest.raises(RestoreRefusedError, match="by its name") as told:
        files_needed(backups.destination, shop, point=made[0].manifest.started)
    assert made[1].key in str(told.value)
