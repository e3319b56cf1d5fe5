"""Files in an archive: which must be retrieved, asked for once, told as archived and never as damaged. A fake archive."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from raven_backup_provider.core.destination import Archiving, RetrievalState
from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.errors import (
    ArchivedFileError,
    ConfigurationError,
    CorruptBackupError,
    RetrievalRunningError,
)
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.jobs.restore_model import RestoreMode
from raven_backup_provider.jobs.restore_plan import files_needed, plan_restore
from raven_backup_provider.jobs.retrieve import pending, require_readable, retrieve
from raven_backup_provider.jobs.verify import Sample, Selection, Verdict, files_to_read, verify
from tests.support.archive_destination import ArchiveDestination
from tests.support.made_chain import MadeChain, make_chain


@pytest.fixture
def chain() -> MadeChain:
    return make_chain(3)


@pytest.fixture
def archive(tmp_path: Path, chain: MadeChain) -> ArchiveDestination:
    """A destination whose three backup files lie in an archive; their manifests do not."""
    place = ArchiveDestination(FolderDestination(tmp_path, create=True))
    chain.put(place.inner)
    place.archive()
    return place


def test_the_fake_is_what_the_contract_says(archive: ArchiveDestination) -> None:
    assert isinstance(archive, Archiving)
    assert not isinstance(archive.inner, Archiving)


def test_only_what_a_restore_will_read_is_asked_for(archive: ArchiveDestination, chain: MadeChain) -> None:
    name = chain.manifests[1].file.name
    source, files = files_needed(archive, "shop", point=name)
    waiting = retrieve(source.destination, [file.key for file in files], tier="bulk", days=7)
    assert waiting.keys == (chain.key_of(0), chain.key_of(1))
    assert archive.asked == [(chain.key_of(0), "bulk", 7), (chain.key_of(1), "bulk", 7)]


def test_asking_twice_asks_once_and_says_which_tier_and_how_long(
    archive: ArchiveDestination, chain: MadeChain, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    keys = [chain.key_of(n) for n in range(3)]
    assert retrieve(archive, keys).running == retrieve(archive, keys).running == tuple(keys)
    assert len(archive.asked) == 3
    assert [r.getMessage() for r in caplog.records] == [
        f"3 files at {archive.identity}: tier standard, known to take 3-5 h"
    ]
    archive.finish(keys[0])
    assert pending(archive, keys).keys == tuple(keys[1:])
    archive.finish()
    assert not retrieve(archive, keys)


def test_an_unknown_tier_is_told_with_those_there_are(archive: ArchiveDestination, chain: MadeChain) -> None:
    with pytest.raises(ConfigurationError, match="expedited, standard, bulk"):
        retrieve(archive, [chain.key_of(0)], tier="warp")


def test_a_destination_that_archives_nothing_has_nothing_to_wait_for(archive: ArchiveDestination) -> None:
    assert not retrieve(archive.inner, ["any/key"])
    require_readable(archive.inner, ["any/key"])


def test_a_single_backup_folder_is_looked_at_by_the_destinations_own_keys(chain: MadeChain, tmp_path: Path) -> None:
    chain.put(FolderDestination(tmp_path, create=True))
    single = ArchiveDestination(FolderDestination(tmp_path / "shop" / chain.name))
    single.archive()
    source, files = files_needed(single, None)
    waiting = retrieve(source.destination, [file.key for file in files])
    assert waiting.keys == tuple(m.file.name for m in chain.manifests)


# --- restore ------------------------------------------------------------------------------------------------------------


def test_a_restore_names_all_archived_files_before_it_reads_any(archive: ArchiveDestination, chain: MadeChain) -> None:
    del archive.states[chain.key_of(0)]
    archive.calls.clear()
    with pytest.raises(ArchivedFileError, match="retrieval_tier") as told:
        plan_restore(archive, "shop", target="new", mode=RestoreMode.STREAM)
    assert not isinstance(told.value, CorruptBackupError)
    assert [m.file.name in str(told.value) for m in chain.manifests] == [False, True, True]
    assert archive.calls["open_read"] == 3, "the manifests"


def test_a_restore_whose_files_are_being_retrieved_is_to_be_tried_again(
    archive: ArchiveDestination, chain: MadeChain
) -> None:
    retrieve(archive, [chain.key_of(n) for n in range(3)])
    with pytest.raises(RetrievalRunningError) as told:
        plan_restore(archive, "shop", target="new", mode=RestoreMode.STREAM)
    assert told.value.retryable
    archive.finish()
    assert len(plan_restore(archive, "shop", target="new", mode=RestoreMode.STREAM).files) == 3


def test_a_file_that_goes_back_into_the_archive_while_it_is_checked_is_not_called_damaged(
    archive: ArchiveDestination, chain: MadeChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raven_backup_provider.jobs.restore_plan.require_readable", lambda *_: None)
    with pytest.raises(ArchivedFileError, match="3-5 h"):
        plan_restore(archive, "shop", target="new", mode=RestoreMode.STREAM)


# --- verify -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deep", [True, False])
def test_archived_files_are_an_outcome_of_their_own_neither_valid_nor_bad(
    archive: ArchiveDestination, chain: MadeChain, deep: bool
) -> None:
    del archive.states[chain.key_of(1)]
    report = verify(archive, "shop", deep=deep)
    assert [f.verdict for f in report.files] == [Verdict.ARCHIVED, Verdict.VALID, Verdict.ARCHIVED]
    assert not report.ok
    assert report.bytes_read == chain.manifests[1].file.size
    with pytest.raises(ArchivedFileError, match="3-5 h"):
        report.raise_if_bad()


def test_an_archived_encrypted_file_is_not_blamed_for_its_key(tmp_path: Path) -> None:
    place = ArchiveDestination(FolderDestination(tmp_path, create=True))
    make_chain(1, key=EncryptionKey.generate()).put(place.inner)
    place.archive()
    assert [f.verdict for f in verify(place, "shop").files] == [Verdict.ARCHIVED]


def test_a_bad_file_beside_archived_ones_is_still_a_bad_file(archive: ArchiveDestination, chain: MadeChain) -> None:
    del archive.states[chain.key_of(1)]
    archive.inner.put(chain.key_of(1), b"x" * chain.manifests[1].file.size, replace=True)
    with pytest.raises(CorruptBackupError, match=chain.manifests[1].file.name):
        verify(archive, "shop").raise_if_bad()


def test_what_verify_would_read_is_known_before_it_reads(archive: ArchiveDestination, chain: MadeChain) -> None:
    newer = make_chain(1, days=1)
    newer.put(archive.inner)
    every = {chain.key_of(0), chain.key_of(1), chain.key_of(2), newer.key_of(0)}
    assert {key for _, key in files_to_read(archive)} == every
    assert [key for _, key in files_to_read(archive, "shop", selection=Selection.NEWEST)] == [newer.key_of(0)]
    parts = [{key for _, key in files_to_read(archive, sample=Sample(n, 3))} for n in (1, 2, 3)]
    assert set.union(*parts) == every
    assert sum(map(len, parts)) == 4
    assert archive.states[chain.key_of(0)] is RetrievalState.ARCHIVED
