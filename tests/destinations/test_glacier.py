"""The vault destination on the fake of its service: the contract, and what is special about a vault."""

from __future__ import annotations

import base64
import json
import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raven_backup_provider.core.catalog import read_catalog
from raven_backup_provider.core.destination import Archiving, Destination, RetrievalState
from raven_backup_provider.core.errors import (
    ArchivedFileError,
    ConfigurationError,
    CorruptBackupError,
    DestinationAccessError,
    DestinationError,
    DestinationFullError,
    FileExistsAtDestinationError,
    FileMissingAtDestinationError,
    InterruptedBackupError,
    ProtectedFileError,
)
from raven_backup_provider.core.manifest import FileEntry, dump
from raven_backup_provider.core.names import manifest_name
from raven_backup_provider.destinations import glacier_writer
from raven_backup_provider.destinations.folder import FolderDestination
from raven_backup_provider.destinations.glacier import GlacierDestination
from raven_backup_provider.destinations.glacier_note import ArchiveNote, write_note
from raven_backup_provider.destinations.glacier_upload import (
    LARGEST_PART,
    MAX_PARTS,
    MIB,
    PartsUpload,
    part_size,
    upload_small,
)
from tests.core.builders import FOLDER as CHAIN
from tests.core.builders import manifest
from tests.destinations.contract import FILE, FOLDER, DestinationContract, digest_of, keys, load, store
from tests.support.fake_glacier import FakeGlacier, Fault
from tests.support.vaults import client, vault

PART = os.urandom(MIB)
CONTENT = b"".join(bytes([n]) + PART[1:] for n in range(5)) + b"end"


@pytest.fixture
def fake() -> Iterator[FakeGlacier]:
    server = FakeGlacier()
    yield server
    server.close()


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    folder = tmp_path / "ledger"
    folder.mkdir()
    return folder


@pytest.fixture
def box(fake: FakeGlacier, ledger: Path) -> GlacierDestination:
    return vault(fake, ledger)


class TestGlacierDestination(DestinationContract):
    """The whole contract, with one exception: a file is read after its retrieval, for which the fake's clock is put forward
    (tests/support/vaults.py)."""

    #: The service drops unfinished uploads a day after the last part.
    ends_old_copies = False

    @pytest.fixture
    def destination(self, fake: FakeGlacier, ledger: Path) -> GlacierDestination:
        return vault(fake, ledger, prefix="our/prefix")

    @pytest.fixture
    def same_place(self, destination: Destination, fake: FakeGlacier, ledger: Path) -> GlacierDestination:
        return vault(fake, ledger, prefix="our/prefix")


def upload(destination: GlacierDestination, content: bytes = CONTENT, key: str = FILE) -> None:
    with destination.open_write(key, expected=digest_of(content)) as writer:
        for at in range(0, len(content), 400_000):
            writer.write(content[at : at + 400_000])
        writer.commit(digest_of(content))


def retrieve(destination: GlacierDestination, fake: FakeGlacier, key: str = FILE) -> None:
    destination.request_retrieval(key)
    fake.pass_hours(5)


def wait_for_parts(fake: FakeGlacier, count: int) -> None:
    deadline = time.monotonic() + 60
    while fake.count("PUT") < count or fake.in_flight:
        assert time.monotonic() < deadline
        time.sleep(0.005)


# --- uploading ----------------------------------------------------------------------------------------------------


def test_a_file_becomes_one_archive_in_parts_whose_description_says_what_it_is(
    box: GlacierDestination, fake: FakeGlacier
) -> None:
    upload(box)
    [archive] = fake.archives.values()
    assert archive.body == CONTENT
    digest = digest_of(CONTENT)
    said = json.loads(archive.description)
    assert said == {"raven_backup": 1, "key": FILE, "size": digest.size, "sha256": digest.sha256}
    assert fake.count("PUT .*/multipart-uploads/") == 6
    assert 1 < fake.most_in_flight <= 3


@pytest.mark.parametrize(
    ("size", "part"),
    [(0, 16), (100 * 2**30, 16), (5 * 2**40, 1024), (MAX_PARTS * LARGEST_PART, 4096), (None, 128)],
)
def test_the_part_size_is_a_power_of_two_that_fits_the_file(size: int | None, part: int) -> None:
    assert part_size(size) == part * MIB
    assert part * MIB * MAX_PARTS >= (size or 0)


def test_a_part_size_that_no_vault_takes_and_a_file_that_fits_into_none_are_refused(fake: FakeGlacier) -> None:
    assert part_size(10, 3 * MIB) == 4 * MIB
    for wrong in (0, 5000):
        with pytest.raises(ConfigurationError, match="1 to 4096 MiB"):
            GlacierDestination(client(fake.url), "box", part_mb=wrong)
    with pytest.raises(ConfigurationError, match="at most"):
        part_size(MAX_PARTS * LARGEST_PART + 1)


def test_a_stream_that_outgrows_its_parts_is_ended_with_the_setting_to_change(
    box: GlacierDestination, fake: FakeGlacier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(glacier_writer, "MAX_PARTS", 3)
    with pytest.raises(ConfigurationError, match="part_mb"), box.open_write(FILE) as writer:
        writer.write(CONTENT)
    assert not fake.uploads


def test_parts_too_large_for_memory_pass_over_the_disk(fake: FakeGlacier, ledger: Path) -> None:
    content = os.urandom(65 * MIB)
    big = vault(fake, ledger, part_mb=64)
    fake.faults = [Fault("PUT .*multipart", 1)]
    upload(big, content)
    assert [a.body for a in fake.archives.values()] == [content]


@pytest.mark.parametrize(
    "line", ["POST .*/multipart-uploads$", "PUT .*/multipart-uploads/", "POST .*/multipart-uploads/.+"]
)
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (500, "InternalServerError"),
        (503, "ServiceUnavailableException"),
        (429, "ThrottlingException"),
        (408, "RequestTimeoutException"),
    ],
)
def test_a_storm_of_errors_is_waited_out(fake: FakeGlacier, ledger: Path, line: str, status: int, code: str) -> None:
    waits: list[float] = []
    fake.faults = [Fault(line, 3, status, code, {"Retry-After": "7"} if status == 503 else {})]
    upload(vault(fake, ledger, sleep=waits.append, workers=1))
    assert [a.body for a in fake.archives.values()] == [CONTENT]
    assert waits == [7.0] * 3 if status == 503 else waits == [1.0, 2.0, 4.0]


@pytest.mark.parametrize(
    "line", ["POST .*/multipart-uploads$", "PUT", "POST .*/multipart-uploads/.+", "POST .*/archives"]
)
def test_a_service_that_hangs_up_is_asked_again(box: GlacierDestination, fake: FakeGlacier, line: str) -> None:
    fake.faults = [Fault(line, 3, hang_up=True)]
    upload(box)
    box.put(f"{FILE}.manifest.json", b"{}")
    assert sorted(a.body for a in fake.archives.values()) == sorted([CONTENT, b"{}"])


def test_a_completion_whose_answer_was_lost_makes_no_second_archive(box: GlacierDestination, fake: FakeGlacier) -> None:
    fake.faults = [Fault("POST .*/multipart-uploads/.+", 1, after=True)]
    upload(box)
    assert len(fake.archives) == 1


def test_after_a_long_outage_the_next_try_sends_only_what_is_missing(
    box: GlacierDestination, fake: FakeGlacier
) -> None:
    def copy_until_the_line_is_dead() -> None:
        with box.open_write(FILE, expected=digest_of(CONTENT)) as writer:
            writer.write(CONTENT[: 3 * MIB])
            wait_for_parts(fake, 3)
            fake.faults = [Fault("PUT", 100)]
            writer.write(CONTENT[3 * MIB :])
            writer.commit(digest_of(CONTENT))

    with pytest.raises(DestinationError, match="try again later"):
        copy_until_the_line_is_dead()
    assert keys(box) == []
    fake.faults = []
    fake.requests.clear()
    upload(box)
    assert fake.count("PUT .*multipart-uploads/") == 3
    assert load(box, FILE) == CONTENT


@pytest.mark.parametrize(
    ("error", "left"),
    [
        (InterruptedBackupError("stop"), 1),
        (KeyboardInterrupt(), 1),
        (ValueError(), 0),
        (DestinationFullError(), 0),
        (CorruptBackupError(), 0),
    ],
)
def test_what_an_interrupted_copy_sent_is_kept_for_the_next_try_and_what_a_wrong_one_sent_is_not(
    box: GlacierDestination, fake: FakeGlacier, error: BaseException, left: int
) -> None:
    def copy() -> None:
        with box.open_write(FILE, expected=digest_of(CONTENT)) as writer:
            writer.write(CONTENT)
            raise error

    with pytest.raises(type(error)):
        copy()
    assert len(fake.uploads) == left


def write_half_and_wait(url: str, ledger: str, ready: Any) -> None:
    destination = GlacierDestination(client(url), "box", ledger=FolderDestination(ledger), part_mb=1)
    writer = destination.open_write(FILE, expected=digest_of(CONTENT))
    writer.write(CONTENT[: 3 * MIB + 10])
    ready.set()
    signal.pause()


def test_a_killed_upload_is_picked_up_and_nothing_is_sent_twice(
    box: GlacierDestination, fake: FakeGlacier, ledger: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # A process of its own cannot carry CONTENT, which is random, so it is forked: it inherits it.
    fork = multiprocessing.get_context("fork")
    ready = fork.Event()
    process = fork.Process(target=write_half_and_wait, args=(fake.url, str(ledger), ready))
    process.start()
    assert ready.wait(60)
    wait_for_parts(fake, 3)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(90)
    fake.requests.clear()
    with caplog.at_level(logging.INFO):
        upload(box)
    assert fake.count("PUT") == 3
    assert "3 parts of" in caplog.text
    assert [a.body for a in fake.archives.values()] == [CONTENT]


def test_of_many_unfinished_uploads_the_right_one_is_picked_up(box: GlacierDestination, fake: FakeGlacier) -> None:
    for number in range(60):
        PartsUpload.begin(box.vault, write_note(ArchiveNote(f"{FOLDER}/{number}", 1, "ab" * 32)), MIB, "")
    half = box.open_write(FILE, expected=digest_of(CONTENT))
    half.write(CONTENT[: 2 * MIB])
    wait_for_parts(fake, 2)
    fake.requests.clear()
    upload(box)
    assert fake.count("PUT") == 4


def test_an_upload_that_another_run_removed_is_said_to_be_gone(box: GlacierDestination, fake: FakeGlacier) -> None:
    real = fake._upload
    fake._upload = lambda upload_id: real("removed")  # type: ignore[method-assign]
    with pytest.raises(DestinationError, match="unfinished upload is gone") as raised:
        upload(box)
    assert raised.value.retryable


def test_content_that_is_not_the_announced_one_is_not_published(box: GlacierDestination, fake: FakeGlacier) -> None:
    other = b"other" + CONTENT[5:]
    writer = box.open_write(FILE, expected=digest_of(CONTENT))
    writer.write(other)
    with pytest.raises(CorruptBackupError, match="announced"), writer:
        writer.commit(digest_of(other))
    assert not fake.archives
    assert not fake.uploads


def test_another_archive_in_the_answer_than_was_sent_is_not_published(
    box: GlacierDestination, fake: FakeGlacier
) -> None:
    real = fake._new_archive
    fake._new_archive = lambda description, body: real(description, b"x" + body[1:])  # type: ignore[method-assign]
    with pytest.raises(CorruptBackupError, match="tree hash"):
        upload(box)
    assert keys(box) == []


def test_the_loser_of_two_runs_removes_its_archive(box: GlacierDestination, fake: FakeGlacier, ledger: Path) -> None:
    writer = box.open_write(FILE)
    writer.write(b"late")
    upload(vault(fake, ledger), b"early")
    with pytest.raises(FileExistsAtDestinationError), writer:
        writer.commit(digest_of(b"late"))
    assert [a.body for a in fake.archives.values()] == [b"early"]


def test_a_replaced_manifest_leaves_one_archive(box: GlacierDestination, fake: FakeGlacier) -> None:
    box.put(f"{FILE}.manifest.json", b"one")
    box.put(f"{FILE}.manifest.json", b"two", replace=True)
    assert [a.body for a in fake.archives.values()] == [b"two"]
    assert load(box, f"{FILE}.manifest.json") == b"two"


def test_without_a_ledger_nothing_is_written_and_the_setting_is_named(fake: FakeGlacier) -> None:
    bare = vault(fake, None)
    for action in (
        lambda: bare.open_write(FILE),
        lambda: bare.put(FILE, b"x"),
        lambda: bare.delete([FILE]),
        lambda: bare.sweep_partial(""),
        lambda: bare.exclusive("shop"),
        lambda: bare.check_writable(),
    ):
        with pytest.raises(ConfigurationError, match="ledger=file:///"):
            action()
    assert fake.requests == []


def test_the_check_makes_no_archive_and_names_the_missing_right(box: GlacierDestination, fake: FakeGlacier) -> None:
    box.check_writable()
    assert not fake.archives
    assert not fake.uploads
    fake.denied = {"POST multipart-uploads"}
    with pytest.raises(DestinationAccessError, match=r"AccessDeniedException.*right"):
        box.check_writable()


@pytest.mark.parametrize(
    ("status", "code", "words", "retryable"),
    [
        (400, "NoLongerSupportedException", "storage_class=GLACIER", False),
        (403, "UnrecognizedClientException", "credentials", False),
        (403, "ExpiredTokenException", "Renew", False),
        (400, "LimitExceededException", "limit", True),
        (400, "SomethingNew", "SomethingNew: as asked for", False),
    ],
)
def test_an_error_of_the_service_says_what_to_do(
    box: GlacierDestination, fake: FakeGlacier, status: int, code: str, words: str, retryable: bool
) -> None:
    fake.faults = [Fault("multipart-uploads", 100, status, code)]
    with pytest.raises(DestinationError, match=words) as raised:
        upload(box)
    assert raised.value.retryable is retryable
    assert "glacier:eu-west-1/box" in str(raised.value)


def test_a_vault_that_does_not_exist_is_named(fake: FakeGlacier, ledger: Path) -> None:
    wrong = GlacierDestination(client(fake.url), "bax", ledger=FolderDestination(ledger))
    with pytest.raises(DestinationAccessError, match=r"glacier:eu-west-1/bax.*vault's name, the region"):
        wrong.check_writable()


def test_a_service_that_cannot_be_reached_is_a_reason_to_try_again(ledger: Path) -> None:
    waits: list[float] = []
    away = GlacierDestination(client("http://127.0.0.1:9"), "box", ledger=FolderDestination(ledger), sleep=waits.append)
    with pytest.raises(DestinationError, match="reached from this worker") as raised:
        away.open_write(FILE)
    assert raised.value.retryable
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0]


# --- reading ------------------------------------------------------------------------------------------------------


def test_a_file_is_read_after_its_retrieval_only(fake: FakeGlacier, ledger: Path) -> None:
    box = GlacierDestination.open_read
    destination = vault(fake, ledger)
    assert isinstance(destination, Archiving)
    upload(destination)
    with pytest.raises(ArchivedFileError, match=r"Expedited \(1 to 5 minutes.*Standard \(3 to 5 hours\); Bulk"):
        box(destination, FILE)
    assert destination.retrieval(FILE).state is RetrievalState.ARCHIVED
    said = destination.request_retrieval(FILE, tier="bulk", days=3)
    assert "tier Bulk: 5 to 12 hours" in said
    assert "24 hours" in said
    assert destination.retrieval(FILE).state is RetrievalState.RUNNING
    assert "was requested at" in destination.request_retrieval(FILE)
    with pytest.raises(ArchivedFileError, match=r"requested at .* with tier Bulk: 5 to 12 hours"):
        box(destination, FILE)
    fake.pass_hours(9)
    assert destination.retrieval(FILE).state is RetrievalState.READABLE
    assert "can be read until" in destination.request_retrieval(FILE)
    assert fake.count("POST .*/jobs$") == 1
    with box(destination, FILE) as file:
        assert file.read() == CONTENT
    with box(destination, FILE, 3 * MIB + 7) as file:
        assert file.read(10) == CONTENT[3 * MIB + 7 :][:10]
    fake.pass_hours(24)
    with pytest.raises(ArchivedFileError, match="Request its retrieval"):
        box(destination, FILE)


def test_a_small_file_is_read_at_once(box: GlacierDestination, fake: FakeGlacier) -> None:
    box.put(f"{FILE}.manifest.json", b"{}")
    assert box.retrieval(f"{FILE}.manifest.json").state is RetrievalState.READABLE
    assert "need not" in box.request_retrieval(f"{FILE}.manifest.json")
    assert load(box, f"{FILE}.manifest.json") == b"{}"
    assert fake.count("jobs") == 0


def test_retrieving_what_is_not_there_or_with_a_tier_that_is_not_there_is_refused(box: GlacierDestination) -> None:
    with pytest.raises(FileMissingAtDestinationError):
        box.retrieval(FILE)
    with pytest.raises(FileMissingAtDestinationError):
        box.request_retrieval(FILE)
    upload(box)
    with pytest.raises(ConfigurationError, match=r"Expedited.*Standard.*Bulk"):
        box.request_retrieval(FILE, tier="instant")


@pytest.mark.parametrize(
    ("code", "status", "words", "retryable"),
    [
        ("PolicyEnforcedException", 400, "data retrieval policy", False),
        ("InsufficientCapacityException", 503, "tier Standard", True),
    ],
)
def test_a_refused_retrieval_says_why(
    box: GlacierDestination, fake: FakeGlacier, code: str, status: int, words: str, retryable: bool
) -> None:
    upload(box)
    fake.faults = [Fault("POST .*jobs", 100, status, code)]
    with pytest.raises(DestinationError, match=words) as raised:
        box.request_retrieval(FILE, tier="Expedited")
    assert raised.value.retryable is retryable


def test_reading_goes_on_where_the_connection_broke(box: GlacierDestination, fake: FakeGlacier) -> None:
    upload(box)
    retrieve(box, fake)
    fake.faults = [Fault("output", 1, cut_after=1_500_000), Fault("output", 1, cut_after=10), Fault("output", 1, 500)]
    fake.requests.clear()
    assert load(box, FILE) == CONTENT
    assert fake.count("output") == 4


def test_a_line_that_breaks_all_the_time_ends_the_reading(box: GlacierDestination, fake: FakeGlacier) -> None:
    upload(box)
    retrieve(box, fake)
    fake.faults = [Fault("output", 100, cut_after=0)]
    with pytest.raises(DestinationError, match="Cannot read"):
        load(box, FILE)


def test_other_bytes_than_were_stored_are_not_taken_for_the_file(box: GlacierDestination, fake: FakeGlacier) -> None:
    upload(box)
    retrieve(box, fake)
    fake.faults = [Fault("output", 1, swap=lambda text: text[:-1] + b"X")]
    with pytest.raises(CorruptBackupError, match="not what was stored"):
        load(box, FILE)


def test_a_retrieval_of_a_part_by_another_tool_does_not_count(box: GlacierDestination, fake: FakeGlacier) -> None:
    upload(box)
    retrieve(box, fake)
    real = fake._described
    fake._described = lambda key, job: {**real(key, job), "RetrievalByteRange": "0-1048575"}  # type: ignore[method-assign]
    assert box.retrieval(FILE).state is RetrievalState.ARCHIVED


def test_the_right_job_is_found_among_hundreds(box: GlacierDestination, fake: FakeGlacier) -> None:
    for number in range(120):
        archive_id, _ = upload_small(box.vault, str(number).encode(), "", "")
        box.jobs.begin("", Type="archive-retrieval", ArchiveId=archive_id)
    upload(box)
    retrieve(box, fake)
    assert load(box, FILE) == CONTENT


# --- deleting -----------------------------------------------------------------------------------------------------


def test_deleting_removes_the_archive_and_a_kill_in_between_is_mended_by_the_next_run(
    box: GlacierDestination, fake: FakeGlacier, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(box)
    assert box.ledger is not None
    with monkeypatch.context() as patch:
        patch.setattr(box.ledger, "remove", _killed)
        with pytest.raises(KeyboardInterrupt):
            box.delete([FILE])
    assert keys(box) == [FILE]
    box.delete([FILE])
    assert keys(box) == []
    assert not fake.archives


def _killed(key: str) -> None:
    raise KeyboardInterrupt


def test_a_vault_lock_is_told_apart_from_a_missing_right(box: GlacierDestination, fake: FakeGlacier) -> None:
    upload(box)
    fake.denied = {"DELETE archives one"}
    with pytest.raises(DestinationAccessError, match="right") as raised:
        box.delete([FILE])
    assert not isinstance(raised.value, ProtectedFileError)
    fake.locked = True
    with pytest.raises(ProtectedFileError, match="lock"):
        box.delete([FILE])
    assert keys(box) == [FILE]


# --- the ledger ---------------------------------------------------------------------------------------------------


def test_ledgers_of_several_vaults_and_prefixes_share_a_place(fake: FakeGlacier, ledger: Path) -> None:
    one, two = vault(fake, ledger, prefix="one"), vault(fake, ledger, prefix="two")
    store(one, FILE)
    assert keys(two) == []
    store(two, FILE)
    assert keys(one) == keys(two) == [FILE]
    two.delete([FILE])
    assert keys(one) == [FILE]


@pytest.mark.parametrize("text", [b"", b"{", b"{}", b'{"format":2}'])
def test_a_damaged_ledger_file_is_an_error_with_its_remedy(box: GlacierDestination, ledger: Path, text: bytes) -> None:
    store(box, FILE)
    [path] = ledger.rglob("*.archive.json")
    path.write_bytes(text)
    for action in (lambda: box.stat(FILE), lambda: keys(box), lambda: box.open_write(FILE)):
        with pytest.raises(CorruptBackupError, match="raven-backup vault --adopt"):
            action()


def test_a_ledger_file_of_another_vault_is_refused(box: GlacierDestination, ledger: Path) -> None:
    store(box, FILE)
    [path] = ledger.rglob("*.archive.json")
    path.write_text(path.read_text().replace("eu-west-1/box", "eu-west-1/other"))
    with pytest.raises(CorruptBackupError, match="copied"):
        box.stat(FILE)


def test_a_name_too_long_for_the_ledger_is_refused_before_anything_is_sent(
    box: GlacierDestination, fake: FakeGlacier
) -> None:
    with pytest.raises(ConfigurationError, match="too long"):
        box.open_write(f"shop/{'x' * 250}")
    assert fake.requests == []


# --- from the vault alone -----------------------------------------------------------------------------------------


def chain_in(destination: GlacierDestination, length: int = 3) -> list[str]:
    """A good chain with its manifests; keys of its files."""
    made = []
    for number in range(length):
        content = f"content {number}".encode() * 50
        digest = digest_of(content)
        first = manifest(number)
        one = manifest(number, file=FileEntry(name=first.file.name, size=digest.size, sha256=digest.sha256))
        if one.previous is not None:
            one = one.model_copy(
                update={
                    "previous": one.previous.model_copy(
                        update={"sha256": digest_of(f"content {number - 1}".encode() * 50).sha256}
                    )
                }
            )
        key = f"{CHAIN}/{one.file.name}"
        store(destination, key, content)
        destination.put(manifest_name(key), dump(one))
        made.append(key)
    return made


def test_with_nothing_but_the_vault_the_catalogue_is_read_from_an_inventory_and_files_after_retrieval(
    fake: FakeGlacier, ledger: Path
) -> None:
    made = chain_in(vault(fake, ledger, prefix="p"))
    fake.archives["foreign"] = type(next(iter(fake.archives.values())))("holiday photos", b"x", fake.now())
    chain_in(vault(fake, ledger, prefix="other"))
    fake.take_inventory()
    bare = vault(fake, None, prefix="p")
    assert bare.retrieval("").state is RetrievalState.ARCHIVED
    with pytest.raises(ArchivedFileError, match=r"inventory of .* requested now; that takes 3 to 5 hours.*24 hours"):
        keys(bare)
    assert bare.retrieval("").state is RetrievalState.RUNNING
    with pytest.raises(ArchivedFileError, match="was requested at"):
        bare.list_folders()
    assert fake.count("POST .*jobs") == 1
    fake.pass_hours(5)
    assert bare.retrieval("").state is RetrievalState.READABLE
    catalog = read_catalog(bare, "shop")
    [chain] = catalog.chains
    assert chain.is_complete
    assert [point.key for point in chain.points] == made
    assert fake.count("POST .*jobs") == 1, "manifests are read from the inventory itself"
    assert load(bare, made[2]) == b"content 2" * 50


def test_of_two_archives_of_one_file_the_newest_counts_and_it_is_said(
    fake: FakeGlacier, ledger: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = vault(fake, ledger)
    store(first, FILE, b"old")
    (ledger / "eu-west-1").rename(ledger / "lost")
    fake.pass_hours(1)
    store(first, FILE, b"new")
    fake.take_inventory()
    bare = vault(fake, None)
    bare.request_retrieval("")
    fake.pass_hours(5)
    assert [file.size for file in bare.list_files()] == [3]
    assert load(bare, FILE) == b"new"
    assert "more than one archive" in caplog.text


def test_an_inventory_in_part_or_of_yesterday_does_not_count(fake: FakeGlacier, ledger: Path) -> None:
    store(vault(fake, ledger), FILE)
    fake.take_inventory()
    bare = vault(fake, None)
    bare.jobs.vault.call(
        "initiate_job",
        "x",
        jobParameters={"Type": "inventory-retrieval", "InventoryRetrievalParameters": {"Limit": "1"}},
    )
    fake.pass_hours(5)
    assert bare.retrieval("").state is RetrievalState.ARCHIVED
    bare.request_retrieval("")
    fake.pass_hours(30)
    assert bare.retrieval("").state is RetrievalState.ARCHIVED


def test_a_vault_without_an_inventory_yet_is_said_to_be_that(fake: FakeGlacier) -> None:
    with pytest.raises(DestinationAccessError, match="Inventory has not yet been generated"):
        keys(vault(fake, None))


@pytest.mark.parametrize(
    "fault", [Fault("output", 100, cut_after=300), Fault("output", 1, swap=lambda text: text[:300])]
)
def test_an_inventory_that_arrives_cut_short_or_changed_is_not_taken_for_the_list(
    fake: FakeGlacier, ledger: Path, fault: Fault
) -> None:
    chain_in(vault(fake, ledger))
    fake.take_inventory()
    bare = vault(fake, None)
    bare.request_retrieval("")
    fake.pass_hours(5)
    fake.faults = [fault]
    with pytest.raises(DestinationError) as raised:
        keys(bare)
    assert raised.value.retryable


def test_a_manifest_in_a_description_is_the_archive_itself(fake: FakeGlacier, ledger: Path) -> None:
    chain_in(vault(fake, ledger), 1)
    [archive] = [a for a in fake.archives.values() if b"change_vector" in a.body]
    assert "text" in json.loads(archive.description)
    assert base64.b85decode(json.loads(archive.description)["text"])
