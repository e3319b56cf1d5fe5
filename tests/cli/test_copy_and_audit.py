"""``raven-backup copy`` and ``audit``, and asking for archived files, over chains made by hand. No server."""

from __future__ import annotations

from pathlib import Path

import pytest

from raven_backup_provider.core.names import manifest_name
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.retrieve import pending
from tests.cli.conftest import RavenBackup
from tests.support.airflow_fixtures import SetConnection
from tests.support.archive_destination import ArchiveDestination, offer_as_store
from tests.support.made_chain import MadeChain, contents, make_chain, points


@pytest.fixture
def chain() -> MadeChain:
    return make_chain(3)


@pytest.fixture
def places(tmp_path: Path, chain: MadeChain) -> list[Path]:
    """Three folders; the first holds a chain."""
    found = [tmp_path / name for name in ("a", "b", "c")]
    for root in found:
        root.mkdir()
    chain.put(FolderDestination(found[0]))
    return found


def place(path: Path) -> str:
    return f"{path}/"


def test_one_command_copies_to_several_destinations_and_again_sends_nothing(
    places: list[Path], raven_backup: RavenBackup, chain: MadeChain
) -> None:
    a, b, c = map(place, places)
    command = ["copy", "--database", "shop", "--source", a, "--destination", b, "--destination", c]
    first = raven_backup(*command, "--json")
    assert first.code == 0
    assert [one["files_sent"] for one in first.document["destinations"]] == [3, 3]
    assert contents(FolderDestination(places[1])) == contents(FolderDestination(places[0]))
    again = raven_backup(*command)
    assert again.code == 0
    assert again.out.count("0 files with 0 bytes sent") == 2
    one = raven_backup("list", "--destination", b, "--json").document["databases"][0]
    assert [point["key"] for point in one["points"]] == [chain.key_of(n) for n in range(3)]


def test_a_destination_that_fails_does_not_keep_the_others_from_their_copy(
    places: list[Path], raven_backup: RavenBackup, tmp_path: Path
) -> None:
    a, b, _ = map(place, places)
    gone = str(tmp_path / "not-mounted") + "/"
    answer = raven_backup("copy", "--database", "shop", "--source", a, "--destination", gone, "--destination", b)
    assert answer.code == 1
    assert "not-mounted" in answer.err
    assert contents(FolderDestination(places[1])) == contents(FolderDestination(places[0]))


def test_only_if_each_failed_copy_can_succeed_later_does_the_exit_code_say_so(
    places: list[Path], raven_backup: RavenBackup, tmp_path: Path, set_connection: SetConnection
) -> None:
    endpoint = {"endpoint_url": "http://127.0.0.1:9", "region_name": "us-east-1"}
    set_connection("down", "aws", login="key", password="secret", extra=endpoint)
    copy = ["copy", "--database", "shop", "--source", place(places[0]), "--json"]
    down = ["--destination", "s3://down@bucket/p?retry_seconds=1"]
    gone = ["--destination", str(tmp_path / "not-mounted") + "/"]
    assert raven_backup(*copy, *down).code == 3
    both = raven_backup(*copy, *down, *gone)
    assert both.code == 1
    assert [one["error"]["exit_code"] for one in both.document["destinations"]] == [3, 1]


def test_a_source_that_is_gone_is_passed_over(
    places: list[Path], raven_backup: RavenBackup, tmp_path: Path, chain: MadeChain
) -> None:
    a, b, _ = map(place, places)
    gone = str(tmp_path / "not-mounted") + "/"
    command = ["copy", "--database", "shop", "--source", gone, "--source", a, "--destination", b]
    assert raven_backup(*command, "--select", chain.key_of(1)).code == 0
    assert points(FolderDestination(places[1])) == [chain.key_of(0), chain.key_of(1)]


def test_wrong_arguments_are_exit_code_2(places: list[Path], raven_backup: RavenBackup) -> None:
    a, b, _ = map(place, places)
    assert raven_backup("copy", "--database", "shop", "--source", a, "--destination", b, "--select", "best").code == 2
    assert raven_backup("copy", "--database", "shop", "--destination", b).code == 2
    assert raven_backup("copy", "--database", "shop", "--source", a, "--destination", a).code == 2
    assert raven_backup("audit", "--destination", a, "--since", "yesterday").code == 2


def test_an_audit_tells_heals_and_tells_again(places: list[Path], raven_backup: RavenBackup, chain: MadeChain) -> None:
    a, b, _ = map(place, places)
    raven_backup("copy", "--database", "shop", "--source", a, "--destination", b)
    FolderDestination(places[1]).delete([manifest_name(chain.key_of(2)), chain.key_of(2)])
    audit = ["audit", "--destination", a, "--destination", b]
    told = raven_backup(*audit)
    assert (told.code, "missing" in told.out, chain.manifests[2].file.name in told.out) == (1, True, True)
    healed = raven_backup(*audit, "--heal", "--json")
    assert (healed.code, healed.document["ok"], healed.document["healed"]) == (0, True, 1)
    assert raven_backup(*audit, "--deep", "--database", "SHOP").code == 0


def test_an_audit_that_only_missed_a_destination_can_be_repeated(
    places: list[Path], raven_backup: RavenBackup, tmp_path: Path
) -> None:
    answer = raven_backup("audit", "--destination", place(places[0]), "--destination", str(tmp_path / "gone") + "/")
    assert answer.code == 3
    assert "unreachable" in answer.out


def test_archived_files_are_asked_for_and_the_same_command_works_later(
    places: list[Path],
    raven_backup: RavenBackup,
    chain: MadeChain,
    set_connection: SetConnection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    archive = ArchiveDestination(FolderDestination(places[0]))
    archive.archive()
    set_connection("my_tape", "generic")
    offer_as_store(monkeypatch, {"shelf": lambda: archive})
    verify = ["verify", "--destination", "tape://my_tape@shelf"]
    untouched = raven_backup(*verify)
    assert (untouched.code, archive.asked) == (1, [])
    assert "archived" in untouched.out
    asked = raven_backup(*verify, "--retrieve", "bulk", "--retrieve-days", "7")
    assert asked.code == 3
    assert archive.asked == [(chain.key_of(n), "bulk", 7) for n in range(3)]
    assert raven_backup(*verify, "--retrieve").code == 3
    assert len(archive.asked) == 3
    archive.finish()
    assert not pending(archive, [chain.key_of(0)])
    assert raven_backup(*verify, "--retrieve").code == 0
