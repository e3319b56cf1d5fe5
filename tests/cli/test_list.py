"""``raven-backup list`` over chains made by hand. No server."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

from raven_backup_provider.destinations.folder import FolderDestination
from tests.cli.conftest import RavenBackup
from tests.support.made_chain import MadeChain, make_chain


def clock_was_ahead(days: int) -> MadeChain:
    """A full that a wrong clock made, and an incremental by a right one, whose name therefore lies ahead as well."""
    now = datetime.now(timezone.utc).replace(microsecond=0)
    chain = MadeChain(started=now + timedelta(days=days))
    chain.add()
    chain.add()
    chain.manifests[1] = chain.manifests[1].model_copy(update={"finished": now - timedelta(days=1)})
    return chain


def test_points_with_wrong_times_are_shown_and_are_no_fault(raven_backup: RavenBackup, tmp_path: Path) -> None:
    chain = clock_was_ahead(2000)
    chain.put(FolderDestination(tmp_path))
    answer = raven_backup("list", "--destination", f"{tmp_path}/")
    assert answer.code == 0
    shown = answer.out.partition("Times that are wrong")[2]
    assert f"{chain.key_of(0)}: its time" in shown
    assert "lies in the future" in shown
    assert f"{chain.key_of(1)}: made by {chain.manifests[1].finished:%Y-%m-%d %H:%M:%S} UTC" in shown
    found = raven_backup("list", "--destination", f"{tmp_path}/", "--json").document["databases"][0]
    assert [text.partition(":")[0] for text in found["wrong_times"]] == [chain.key_of(0), chain.key_of(1)]


def test_of_right_times_nothing_is_said(raven_backup: RavenBackup, tmp_path: Path) -> None:
    make_chain(3).put(FolderDestination(tmp_path))
    assert "Times" not in raven_backup("list", "--destination", f"{tmp_path}/").out
