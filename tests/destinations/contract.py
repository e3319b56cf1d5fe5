"""The contract of a destination as tests: one suite, run for every adapter against a real place.

An adapter's test module subclasses :class:`DestinationContract` in a class named ``Test...`` and gives it a fixture
``destination`` that hands out an empty destination; a second look at the same place comes from ``same_place``.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from raven_backup_provider.core.destination import Destination, LeavesHashing, ResumesCopies, Writer
from raven_backup_provider.core.errors import (
    ConfigurationError,
    CorruptBackupError,
    FileExistsAtDestinationError,
    FileMissingAtDestinationError,
    LockedError,
    SourceFailedError,
)
from raven_backup_provider.core.model import FileDigest, StoredFile
from raven_backup_provider.core.names import database_folder
from raven_backup_provider.core.patience import Patience
from raven_backup_provider.core.transfer import Stream, transfer
from raven_backup_provider.destinations import resumable
from raven_backup_provider.destinations.folder import FolderDestination

FOLDER = "shop/2026-11-22-12-00-00.ravendb-shop-A-backup"
FILE = f"{FOLDER}/2026-11-22-12-00-00.ravendb-full-backup"

DATABASES = [
    *[
        "Northwind",
        "my shop",
        "a+b",
        "a#b",
        "a&b;c",
        "100%",
        "a=b",
        "日本語",
        "../x",
        "a/b",
        "~tilde",
        "-rf",
        "$HOME",
        "'q'",
    ],
    *["Ü" * 90, "x" * 200, "y" * 300],
]


def digest_of(data: bytes) -> FileDigest:
    return FileDigest(len(data), hashlib.sha256(data).hexdigest())


def store(destination: Destination, key: str, data: bytes = b"content") -> StoredFile:
    with destination.open_write(key) as writer:
        writer.write(data)
        return writer.commit(digest_of(data))


def load(destination: Destination, key: str, offset: int = 0) -> bytes:
    with destination.open_read(key, offset) as file:
        return file.read()


def keys(destination: Destination, prefix: str = "") -> list[str]:
    return [file.key for file in destination.list_files(prefix)]


class DestinationContract:
    """What every adapter must keep."""

    @pytest.fixture
    def destination(self) -> Iterator[Destination]:
        raise NotImplementedError("the adapter's test class gives an empty destination")

    @pytest.fixture
    def same_place(self, destination: Destination) -> Destination:
        """The same place as another process would open it."""
        raise NotImplementedError

    # --- writing ------------------------------------------------------------------------------------------------

    def test_a_committed_file_is_there_with_its_size_and_content(
        self, destination: Destination, same_place: Destination
    ) -> None:
        data = os.urandom(3_000_001)
        with destination.open_write(FILE) as writer:
            for at in range(0, len(data), 700_000):
                writer.write(data[at : at + 700_000])
            stored = writer.commit(digest_of(data))
        assert (stored.key, stored.size) == (FILE, len(data))
        assert load(same_place, FILE) == data
        found = same_place.stat(FILE)
        assert found is not None
        assert (found.key, found.size) == (FILE, len(data))

    def test_an_empty_file_and_small_pieces_of_every_kind_of_buffer_can_be_stored(
        self, destination: Destination
    ) -> None:
        store(destination, f"{FOLDER}/empty", b"")
        assert load(destination, f"{FOLDER}/empty") == b""
        with destination.open_write(FILE) as writer:
            writer.write(b"")
            writer.write(bytearray(b"ab"))
            writer.write(memoryview(b"xcdx")[1:3])
            writer.commit(digest_of(b"abcd"))
        assert load(destination, FILE) == b"abcd"

    def test_a_reader_sees_nothing_before_the_commit(self, destination: Destination, same_place: Destination) -> None:
        with destination.open_write(FILE) as writer:
            writer.write(b"con" * 500_000)
            assert keys(same_place) == []
            assert same_place.stat(FILE) is None
            with pytest.raises(FileMissingAtDestinationError):
                same_place.open_read(FILE)
            writer.write(b"tent")
            writer.commit(digest_of(b"con" * 500_000 + b"tent"))
        assert keys(same_place) == [FILE]

    def test_leaving_without_a_commit_leaves_nothing_behind(self, destination: Destination) -> None:
        with destination.open_write(FILE) as writer:
            writer.write(b"half")

        def fail_half_way() -> None:
            with destination.open_write(FILE) as writer:
                writer.write(b"half")
                raise RuntimeError("trouble")

        with pytest.raises(RuntimeError, match="trouble"):
            fail_half_way()
        assert keys(destination) == []
        assert destination.sweep_partial("") == []
        store(destination, FILE)

    def test_aborting_twice_and_after_the_commit_is_harmless(self, destination: Destination) -> None:
        writer = destination.open_write(f"{FOLDER}/other")
        writer.abort()
        writer.abort()
        with destination.open_write(FILE) as writer:
            writer.write(b"content")
            writer.commit(digest_of(b"content"))
            writer.abort()
        assert keys(destination) == [FILE]

    @pytest.mark.parametrize("wrong", [b"contenT", b"content ", b""])
    def test_what_is_not_what_the_digest_says_is_not_published(self, destination: Destination, wrong: bytes) -> None:
        with destination.open_write(FILE) as writer:
            writer.write(b"content")
            with pytest.raises(CorruptBackupError):
                writer.commit(digest_of(wrong))
        assert keys(destination) == []
        assert destination.stat(FILE) is None

    def test_an_existing_file_is_never_overwritten(self, destination: Destination) -> None:
        store(destination, FILE, b"first")
        with pytest.raises(FileExistsAtDestinationError):
            destination.open_write(FILE)
        with pytest.raises(FileExistsAtDestinationError):
            destination.put(FILE, b"second")
        assert load(destination, FILE) == b"first"

    def test_of_two_writers_of_one_key_exactly_one_wins(
        self, destination: Destination, same_place: Destination
    ) -> None:
        writers: list[tuple[Writer, bytes]] = []
        for place, data in ((destination, b"one" * 1000), (same_place, b"two!" * 1000)):
            writer = place.open_write(FILE)
            writer.write(data)
            writers.append((writer, data))
        outcomes: list[bytes | Exception] = []
        barrier = threading.Barrier(2)

        def commit(writer: Writer, data: bytes) -> None:
            barrier.wait()
            try:
                with writer:
                    writer.commit(digest_of(data))
                outcomes.append(data)
            except FileExistsAtDestinationError as error:
                outcomes.append(error)

        threads = [threading.Thread(target=commit, args=pair) for pair in writers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        won = [outcome for outcome in outcomes if isinstance(outcome, bytes)]
        assert len(outcomes) == 2
        assert len(won) == 1
        assert load(destination, FILE) == won[0]
        assert keys(destination) == [FILE]

    def test_a_small_file_is_put_whole_and_replaced_only_on_request(self, destination: Destination) -> None:
        stored = destination.put(f"{FILE}.manifest.json", b'{"a":1}')
        assert (stored.key, stored.size) == (f"{FILE}.manifest.json", 7)
        destination.put(f"{FILE}.manifest.json", b'{"a":22}', replace=True)
        assert load(destination, f"{FILE}.manifest.json") == b'{"a":22}'
        destination.put(f"{FOLDER}/new", b"", replace=True)
        assert len(keys(destination)) == 2

    # --- reading ------------------------------------------------------------------------------------------------

    def test_a_file_is_read_from_an_offset_on(self, destination: Destination) -> None:
        store(destination, FILE, bytes(range(256)) * 5000)
        assert load(destination, FILE, 1_000_001) == (bytes(range(256)) * 5000)[1_000_001:]
        with destination.open_read(FILE, 10) as file:
            assert file.read(3) == bytes([10, 11, 12])
            assert file.read(2) == bytes([13, 14])

    def test_reading_a_missing_file_says_so(self, destination: Destination) -> None:
        store(destination, FILE)
        for key in ("shop", FOLDER, f"{FOLDER}/no", "no/no", f"{FILE}/no"):
            assert destination.stat(key) is None
            with pytest.raises(FileMissingAtDestinationError, match=key):
                destination.open_read(key)

    def test_files_are_listed_below_a_folder_in_the_order_of_their_keys(self, destination: Destination) -> None:
        stored = ["a.b/1", "a/1", "a/2/3", "a/2.x", "ab/1", "B/1", "a/10", "é/1"]
        for key in stored:
            store(destination, key, key.encode())
        assert keys(destination) == sorted(stored)
        assert keys(destination, "a") == keys(destination, "a/") == ["a/1", "a/10", "a/2.x", "a/2/3"]
        assert keys(destination, "a/2") == ["a/2/3"]
        assert keys(destination, "no") == []
        assert {file.key: file.size for file in destination.list_files()} == {key: len(key.encode()) for key in stored}

    def test_folders_are_listed_by_name(self, destination: Destination) -> None:
        for key in ("shop/one/1", "shop/two/1", "shop/two/deep/1", "shop/file", "shop2/one/1"):
            store(destination, key)
        assert destination.list_folders() == ["shop", "shop2"]
        assert destination.list_folders("shop") == ["one", "two"]
        assert destination.list_folders("shop/one") == []
        assert destination.list_folders("no") == []

    def test_modification_times_have_a_zone(self, destination: Destination) -> None:
        store(destination, FILE)
        for file in destination.list_files():
            assert file.modified is None or file.modified.utcoffset() is not None

    @pytest.mark.parametrize("database", DATABASES)
    def test_every_database_name_makes_a_key_that_works(self, destination: Destination, database: str) -> None:
        key = f"{database_folder(database)}/folder/2026-11-22-12-00-00.ravendb-full-backup"
        store(destination, key, b"content")
        assert keys(destination) == keys(destination, database_folder(database)) == [key]
        assert destination.list_folders() == [database_folder(database)]
        assert load(destination, key) == b"content"
        destination.delete([key])
        assert keys(destination) == []

    @pytest.mark.parametrize(
        "key",
        ["", "/", "/etc/x", "../x", "a/../../x", "a/..", "./a", "a//b", "a/", "a\\b", "a\nb", "a\x00b", "x" * 256],
    )
    def test_a_key_that_could_lead_elsewhere_is_refused(self, destination: Destination, key: str) -> None:
        with pytest.raises(ConfigurationError):
            destination.open_write(key)
        with pytest.raises(ConfigurationError):
            destination.put(key, b"x", replace=True)
        with pytest.raises(ConfigurationError):
            destination.open_read(key)
        with pytest.raises(ConfigurationError):
            destination.delete([key])

    # --- deleting -----------------------------------------------------------------------------------------------

    def test_files_are_deleted_and_empty_folders_go_with_them(self, destination: Destination) -> None:
        for key in ("shop/one/1", "shop/one/2", "shop/two/1"):
            store(destination, key)
        destination.delete(["shop/one/2", "shop/one/missing", "nowhere/x", "shop/one/1"])
        assert keys(destination) == ["shop/two/1"]
        assert destination.list_folders("shop") == ["two"]
        destination.delete(iter(["shop/two/1"]))
        assert keys(destination) == []
        assert destination.list_folders() == []
        store(destination, "shop/one/1")

    def test_files_are_deleted_in_the_order_given(self, destination: Destination) -> None:
        for name in "abc":
            store(destination, name)

        def asked() -> Iterator[str]:
            for name in "cab":
                yield name
                left.append("".join(keys(destination)))  # when the next one is asked for

        left: list[str] = []
        destination.delete(asked())
        assert keys(destination) == []
        # Nothing goes before its turn: one by one, or all that was asked for at a time.
        assert left in (["ab", "b", ""], ["abc", "abc", "abc"])

    def test_what_a_killed_writer_left_is_swept(self, destination: Destination, same_place: Destination) -> None:
        store(destination, FILE)
        abandoned = [destination.open_write(key) for key in (f"{FOLDER}/a", "other/b")]
        for writer in abandoned:
            writer.write(b"half" * 1000)
        with same_place.exclusive("shop"):
            assert len(same_place.sweep_partial("shop")) == 1
        assert len(same_place.sweep_partial("")) == 1
        assert same_place.sweep_partial("") == []
        assert keys(same_place) == [FILE]
        for writer in abandoned:
            writer.abort()

    # --- copies: the content is known beforehand ------------------------------------------------------------------

    #: Bytes of a copy that is interrupted, and after how many: enough for a store that sends in parts to have some.
    copied, sent = 3_500_000, 2_200_000

    def leave_half(self, destination: Destination, key: str, half: bytes, expected: FileDigest) -> None:
        """What a writer leaves that is killed after it wrote ``half``. Overridden where only another process can leave it."""
        destination.open_write(key, expected=expected).write(half)

    def copy(self, destination: Destination, key: str, data: bytes, expected: FileDigest | None = None) -> StoredFile:
        with destination.open_write(key, expected=expected or digest_of(data)) as writer:
            for at in range(0, len(data), 1_000_000):
                writer.write(data[at : at + 1_000_000])
            return writer.commit(digest_of(data))

    def test_a_copy_whose_content_is_known_is_published_as_any_file(
        self, destination: Destination, same_place: Destination
    ) -> None:
        data = os.urandom(2_500_000)
        assert self.copy(destination, FILE, data).size == len(data)
        assert load(same_place, FILE) == data
        with pytest.raises(FileExistsAtDestinationError):
            destination.open_write(FILE, expected=digest_of(data))
        self.copy(destination, f"{FOLDER}/empty", b"")
        assert load(same_place, f"{FOLDER}/empty") == b""

    def test_a_copy_killed_half_way_is_finished_by_the_next_try(
        self, destination: Destination, same_place: Destination
    ) -> None:
        data = os.urandom(self.copied)
        self.leave_half(destination, FILE, data[: self.sent], digest_of(data))
        assert keys(same_place) == []
        self.copy(same_place, FILE, data)
        assert load(same_place, FILE) == data
        assert keys(same_place) == [FILE]

    def test_a_copy_of_other_content_takes_nothing_from_a_killed_one(
        self, destination: Destination, same_place: Destination
    ) -> None:
        old, new = os.urandom(self.copied), os.urandom(self.copied - 100_000)
        self.leave_half(destination, FILE, old[: self.sent], digest_of(old))
        self.copy(same_place, FILE, new)
        assert load(same_place, FILE) == new
        assert keys(same_place) == [FILE]

    def test_a_copy_does_not_trust_what_a_killed_one_left(
        self, destination: Destination, same_place: Destination
    ) -> None:
        data, half = os.urandom(self.copied), self.sent // 2
        spoilt = data[:half] + b"spoilt" + data[half + 6 : self.sent]
        self.leave_half(destination, FILE, spoilt, digest_of(data))
        self.copy(same_place, FILE, data)
        assert load(same_place, FILE) == data

    def test_a_copy_that_is_not_what_was_announced_is_not_published(
        self, destination: Destination, same_place: Destination
    ) -> None:
        data, announced = b"x" * 1_500_000, digest_of(b"y" * 1_500_000)
        writer = destination.open_write(FILE, expected=announced)
        writer.write(data)
        with pytest.raises(CorruptBackupError), writer:
            writer.commit(announced)
        assert keys(same_place) == []
        assert same_place.stat(FILE) is None
        self.copy(same_place, FILE, data)
        assert load(same_place, FILE) == data

    def test_a_damaged_source_is_never_published_whoever_hashes_it(
        self, destination: Destination, same_place: Destination, tmp_path: Path
    ) -> None:
        good = os.urandom(self.copied)
        source = FolderDestination(tmp_path / "source", create=True)
        store(source, FILE, good[:-1] + bytes([good[-1] ^ 1]))
        with pytest.raises(SourceFailedError):
            transfer(source, FILE, destination, FILE, digest_of(good), Stream(reading=Patience(tries=1)))
        assert keys(same_place) == []
        assert same_place.stat(FILE) is None

    def test_a_writer_whose_caller_hashes_still_counts_what_it_is_given(
        self, destination: Destination, same_place: Destination
    ) -> None:
        announced = digest_of(b"x" * 1_500_000)
        writer = destination.open_write(FILE, expected=announced)
        if isinstance(writer, LeavesHashing):
            writer.leave_hashing(announced)
        writer.write(b"x" * 1_499_999)
        with pytest.raises(CorruptBackupError), writer:
            writer.commit(announced)
        assert keys(same_place) == []

    def test_a_copy_given_up_leaves_nothing_behind(self, destination: Destination) -> None:
        with destination.open_write(FILE, expected=digest_of(b"content")) as writer:
            writer.write(b"cont")
        assert keys(destination) == []
        assert destination.sweep_partial("") == []

    def test_a_copy_that_was_killed_is_swept_as_any_writer(
        self, destination: Destination, same_place: Destination
    ) -> None:
        data = os.urandom(self.copied)
        self.leave_half(destination, FILE, data[: self.sent], digest_of(data))
        with same_place.exclusive("shop"):
            assert len(same_place.sweep_partial("shop")) == 1
        assert same_place.sweep_partial("") == []

    #: Whether :meth:`leave_half` always leaves a part of the content, and not only an empty file.
    surely_leaves_something = True

    def test_what_an_interrupted_copy_left_outlives_the_sweep_of_other_runs_and_what_an_export_left_does_not(
        self, destination: Destination, same_place: Destination
    ) -> None:
        if not isinstance(same_place, ResumesCopies):
            pytest.skip("the adapter does not tell the two apart")
        if not self.removes_open_files:
            pytest.skip("the place removes no file that is open, as the abandoned writer of this process is")
        data, export = os.urandom(self.copied), f"{FOLDER}/export"
        self.leave_half(destination, FILE, data[: self.sent], digest_of(data))
        abandoned = destination.open_write(export)
        abandoned.write(data[: self.sent])
        with same_place.exclusive("shop"):
            swept = same_place.sweep_abandoned("shop")
            assert len(swept) == 1
            assert swept[0].startswith(export)
            assert same_place.sweep_abandoned("shop") == []
            self.copy(same_place, FILE, data)
        assert load(same_place, FILE) == data
        if self.surely_leaves_something:
            assert same_place.sweep_partial("") == [], "the copy went on with what was there"
        abandoned.abort()

    def test_what_a_copy_left_is_swept_once_its_file_is_there_or_it_is_old(
        self, destination: Destination, same_place: Destination, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if not isinstance(same_place, ResumesCopies):
            pytest.skip("the adapter does not tell the two apart")
        first, other = (os.urandom(self.copied) for _ in range(2))
        self.leave_half(destination, FILE, first[: self.sent], digest_of(first))
        store(same_place, FILE, other[:100_000])
        same_place.sweep_abandoned("shop")
        assert same_place.sweep_partial("") == []
        assert load(same_place, FILE) == other[:100_000]
        self.leave_half(destination, f"{FOLDER}/late", first[: self.sent], digest_of(first))
        monkeypatch.setattr(resumable, "KEPT_FOR", timedelta(days=-1))
        assert len(same_place.sweep_abandoned("shop")) == (1 if self.ends_old_copies else 0)

    #: False where a file that somebody has open cannot be removed.
    removes_open_files = True

    #: Whether the adapter sweeps what an old copy left; False where the service does that by itself.
    ends_old_copies = True

    # --- the right to write -------------------------------------------------------------------------------------

    def test_only_one_holds_the_right_to_write_below_a_folder(
        self, destination: Destination, same_place: Destination
    ) -> None:
        with destination.exclusive("shop"):
            with pytest.raises(LockedError, match="shop"), same_place.exclusive("shop"):
                pass
            with same_place.exclusive("other"):
                pass
            store(destination, FILE)
        with same_place.exclusive("shop"):
            pass
        assert keys(destination) == [FILE]
        assert destination.list_folders() == ["shop"]

    def test_the_right_to_write_ends_with_an_exception_as_well(
        self, destination: Destination, same_place: Destination
    ) -> None:
        with pytest.raises(RuntimeError), destination.exclusive("shop"):
            raise RuntimeError
        with same_place.exclusive("shop"):
            pass

    # --- the place ----------------------------------------------------------------------------------------------

    def test_a_good_place_can_be_written_and_the_check_leaves_nothing(self, destination: Destination) -> None:
        destination.check_writable()
        assert keys(destination) == []
        assert destination.sweep_partial("") == []

    def test_free_space_is_told_where_there_is_such_a_thing(self, destination: Destination) -> None:
        free = destination.free_bytes()
        assert free is None or free > 0

    def test_the_place_has_a_stable_name(self, destination: Destination, same_place: Destination) -> None:
        assert destination.identity == same_place.identity
        assert destination.identity.partition(":")[2]
        assert isinstance(destination, Destination)
