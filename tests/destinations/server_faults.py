"""What must hold for a destination on a file server when the line, the server or the writer fails: one suite for all protocols.

A protocol's test module subclasses :class:`ServerFaults` and gives it a fixture ``server``: a running one of tests/support.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from raven_backup_provider.core.destination import HashesItself
from raven_backup_provider.core.errors import (
    CorruptBackupError,
    DestinationAccessError,
    DestinationError,
    DestinationFullError,
    FileExistsAtDestinationError,
    LockedError,
)
from raven_backup_provider.core.model import FileDigest
from raven_backup_provider.destinations import server_clock, server_lease, server_upload
from raven_backup_provider.destinations.lease import LEASE_NAME, LIFETIME
from raven_backup_provider.destinations.server_folder import ServerDestination
from raven_backup_provider.destinations.server_session import ConnectionLostError, ServerSession
from raven_backup_provider.destinations.server_writer import HashingServerWriter
from tests.destinations.contract import FILE, FOLDER, digest_of, keys, load, store
from tests.support.small_disk import small_disk

BLOCK = bytes(range(256)) * 4096  # 1 MiB
MANY = 2500
#: Seconds. Until the server falls silent a request that takes longer on a busy machine is repeated.
IMPATIENT = 1.0


def blocks_digest(count: int) -> FileDigest:
    digest = hashlib.sha256()
    for _ in range(count):
        digest.update(BLOCK)
    return FileDigest(count * len(BLOCK), digest.hexdigest())


def on_disk(root: Path) -> list[str]:
    """Every file and folder below, as the server's disk has them."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours may run after it."""


class ServerFaults:
    """The suite. ``server`` has ``destination(root, **settings)``, ``process`` and ``new_root()``."""

    @pytest.fixture
    def server(self) -> Any:
        raise NotImplementedError

    @pytest.fixture
    def root(self, server: Any) -> Path:
        root: Path = server.new_root()
        return root

    @pytest.fixture
    def destination(self, server: Any, root: Path) -> ServerDestination:
        found: ServerDestination = server.destination(root)
        return found

    # --- the content ----------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("read_back", [True, False])
    def test_an_export_is_told_what_it_gave_so_that_nobody_hashes_it_twice(
        self, server: Any, root: Path, read_back: bool
    ) -> None:
        destination, buffer = server.destination(root, read_back=read_back), bytearray(BLOCK)
        with destination.open_write(FILE) as writer:
            for _ in range(6):
                buffer[:] = BLOCK
                writer.write(buffer)
                buffer[:] = bytes(len(BLOCK))  # the caller's again
            assert isinstance(writer, HashingServerWriter)
            assert isinstance(writer, HashesItself)
            assert writer.given() == blocks_digest(6)
            writer.commit(blocks_digest(6))
        assert load(destination, FILE) == BLOCK * 6
        with destination.open_write(f"{FILE}-copy", expected=blocks_digest(6)) as copy:
            assert not isinstance(copy, HashesItself), "a copy knows what it gives"

    @pytest.mark.parametrize("room", [1000, 70_000, 1 << 20, 5_000_000])
    def test_a_file_is_read_the_same_into_buffers_of_any_size(
        self, destination: ServerDestination, root: Path, room: int
    ) -> None:
        content = os.urandom(3_000_001)
        (root / "file").write_bytes(content)
        (root / "file").chmod(0o644)
        found, buffer = b"", bytearray(room)
        with destination.open_read("file", 3) as file:
            while count := file.readinto(buffer):  # type: ignore[attr-defined]
                found += buffer[:count]
        assert found == content[3:]

    # --- the line -------------------------------------------------------------------------------------------------

    def test_an_upload_goes_on_over_a_new_connection(
        self, destination: ServerDestination, server: Any, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with destination.open_write(FILE) as writer:
            for number in range(12):
                if number in (3, 7):
                    server.cut()
                writer.write(BLOCK)
            server.cut()
            writer.commit(blocks_digest(12))
        assert load(destination, FILE) == BLOCK * 12
        assert on_disk(root) == [FILE.split("/")[0], FOLDER, FILE]

    def test_a_download_goes_on_over_a_new_connection(
        self, destination: ServerDestination, server: Any, root: Path
    ) -> None:
        (root / "file").write_bytes(BLOCK * 30)
        (root / "file").chmod(0o644)
        with destination.open_read("file", 5) as file:
            first = file.read(3_000_000)
            server.cut()
            rest = file.read()
        assert first + rest == (BLOCK * 30)[5:]

    def test_listing_looking_and_deleting_survive_a_cut(self, destination: ServerDestination, server: Any) -> None:
        store(destination, FILE)
        server.cut()
        assert keys(destination) == [FILE]
        server.cut()
        assert destination.stat(FILE) is not None
        server.cut()
        destination.delete([FILE])
        server.cut()
        assert destination.list_folders() == []

    def test_a_file_that_is_replaced_while_it_is_read_is_no_mixture(
        self, destination: ServerDestination, server: Any, root: Path
    ) -> None:
        (root / "file").write_bytes(BLOCK * 30)
        (root / "file").chmod(0o644)
        with destination.open_read("file") as file:
            file.read(1_000_000)
            (root / "file").write_bytes(bytes(40 << 20))
            os.utime(root / "file", (1, 1))
            server.cut()
            with pytest.raises(DestinationError, match="changed or removed while it was read"):
                file.read()

    def test_a_server_that_is_killed_and_started_again_loses_no_upload(
        self, destination: ServerDestination, server: Any
    ) -> None:
        with destination.open_write(FILE) as writer:
            for _ in range(4):
                writer.write(BLOCK)
            server.process.kill()
            server.process.start()
            for _ in range(4):
                writer.write(BLOCK)
            writer.commit(blocks_digest(8))
        assert load(destination, FILE) == BLOCK * 8

    def test_a_server_that_stays_away_ends_the_upload_and_nothing_is_published(self, server: Any, root: Path) -> None:
        destination = server.destination(root, back_off=(0.05, 0.05))

        def write_while_it_goes() -> None:
            with destination.open_write(FILE) as writer:
                writer.write(BLOCK)
                server.process.kill()
                for _ in range(40):
                    writer.write(BLOCK)
                writer.commit(blocks_digest(41))

        try:
            with pytest.raises(DestinationError, match="Look whether the server is up") as raised:
                write_while_it_goes()
            assert raised.value.retryable
        finally:
            server.process.kill()
            server.process.start()
        again = server.destination(root)
        assert keys(again) == []
        assert len(again.sweep_partial("")) == 1
        assert on_disk(root) == []

    @pytest.mark.parametrize("when", ["connecting", "listing", "writing", "finishing", "reading"])
    def test_a_silent_server_is_given_up_after_the_time_out(self, server: Any, root: Path, when: str) -> None:
        destination = server.destination(root, timeout=IMPATIENT)
        (root / "file").write_bytes(BLOCK * 60)
        (root / "file").chmod(0o644)
        if when != "connecting":
            assert keys(destination) == ["file"]
        writer = destination.open_write(FILE) if when in ("writing", "finishing") else None
        file = destination.open_read("file") if when == "reading" else None
        if file is not None:
            file.read(10)
        actions: dict[str, Callable[[], object]] = {
            "connecting": lambda: keys(destination),
            "listing": lambda: keys(destination),
            "writing": lambda: [writer.write(BLOCK) for _ in range(200)],  # type: ignore[union-attr]
            "finishing": lambda: (writer.write(b"x"), writer.commit(digest_of(b"x"))),  # type: ignore[union-attr]
            "reading": lambda: file.read(),  # type: ignore[union-attr]
        }
        destination._link.back_off = ()
        with server.process.frozen(), pytest.raises(DestinationError) as raised:
            actions[when]()
        assert raised.value.retryable
        if writer is not None:
            writer.abort()
        if file is not None:
            file.close()

    # --- the server's disk ----------------------------------------------------------------------------------------

    def test_what_changed_on_the_servers_disk_before_the_publishing_is_noticed(
        self, destination: ServerDestination, root: Path
    ) -> None:
        with destination.open_write(FILE) as writer:
            writer.write(BLOCK * 2)
            self.until_stored(root / FOLDER, 2 * len(BLOCK), writer)
            partial = next((root / FOLDER).glob("*.in-progress"))
            with partial.open("r+b") as stored:
                stored.seek(700_000)
                stored.write(b"!")
            with pytest.raises(CorruptBackupError, match="not what was sent"):
                writer.commit(blocks_digest(2))
        assert on_disk(root) == [FILE.split("/")[0], FOLDER]

    def until_stored(self, folder: Path, size: int, writer: Any) -> None:
        """Wait until the server has written so much; what is in flight at a commit could else come after the test's change."""
        writer._upload.finish()
        writer._upload = None
        assert next(folder.glob("*.in-progress")).stat().st_size == size

    def test_without_read_back_the_size_is_still_compared(self, server: Any, root: Path) -> None:
        destination = server.destination(root, read_back=False)
        with destination.open_write(FILE) as writer:
            writer.write(BLOCK)
            self.until_stored(root / FOLDER, len(BLOCK), writer)
            with next((root / FOLDER).glob("*.in-progress")).open("ab") as stored:
                stored.write(b"!")
            with pytest.raises(CorruptBackupError, match="1048577 bytes are stored"):
                writer.commit(blocks_digest(1))
        store(destination, FILE)
        with destination.open_write(f"{FOLDER}/other") as writer:
            writer.write(b"content")
            with pytest.raises(CorruptBackupError):
                writer.commit(digest_of(b"contenT"))

    def test_a_full_disk_is_said_to_be_full_and_is_usable_again_at_once(self, server: Any, root: Path) -> None:
        with small_disk(root, "2m") as disk:
            destination = server.destination(disk)
            store(destination, FILE, bytes(300_000))
            for _ in range(2):
                with pytest.raises(DestinationFullError, match="shorten the retention") as refusal:
                    store(destination, f"{FOLDER}/next", bytes(20_000_000))
                assert refusal.value.retryable
                assert keys(destination) == [FILE]
                assert destination.sweep_partial("") == []
            store(destination, f"{FOLDER}/next", bytes(600_000))
            destination.close()

    def test_a_full_disk_keeps_nobody_from_locking_and_deleting(self, server: Any, root: Path) -> None:
        with small_disk(root, "1m") as disk:
            destination = server.destination(disk)
            store(destination, FILE, bytes(300_000))
            status = os.statvfs(disk)
            (disk / "filler").write_bytes(bytes(status.f_bavail * status.f_frsize))
            with pytest.raises(DestinationFullError):
                destination.put(f"{FOLDER}/x", bytes(10_000))
            with destination.exclusive("shop"):
                with pytest.raises(LockedError), server.destination(disk).exclusive("shop"):
                    pass
                destination.delete([FILE])
            store(destination, FILE, bytes(200_000))
            destination.close()

    def test_a_folder_without_rights_is_said_to_be_that(self, server: Any, root: Path) -> None:
        if root.owner() == "root":
            pytest.skip("this server runs its sessions as root, which is refused nothing")
        destination = server.destination(root)
        store(destination, "shop/f/file")
        (root / "shop" / "f").chmod(0o500)
        (root / "shop" / "f" / "file").chmod(0o000)
        for action in (
            lambda: store(destination, "shop/f/new"),
            lambda: destination.delete(["shop/f/file"]),
            lambda: load(destination, "shop/f/file"),
        ):
            with pytest.raises(DestinationAccessError, match="shop/f"):
                action()
        root.chmod(0o500)
        with pytest.raises(DestinationAccessError, match="the right to"):
            destination.check_writable()
        (root / "shop" / "f").chmod(0o000)
        with pytest.raises(DestinationAccessError, match="shop/f"):
            keys(destination)
        with pytest.raises(DestinationError):
            destination.stat("shop/f/file")  # not "there is none": it could not look
        (root / "shop" / "f").chmod(0o700)
        root.chmod(0o700)

    def test_a_missing_root_is_an_error_and_not_an_empty_place(self, server: Any, root: Path) -> None:
        destination = server.destination(root / "missing")
        for action in (
            lambda: keys(destination),
            lambda: destination.list_folders("shop"),
            lambda: destination.stat(FILE),
            lambda: destination.open_read(FILE),
            lambda: destination.delete([FILE]),
            lambda: destination.sweep_partial("shop"),
            lambda: destination.open_write(FILE),
            lambda: destination.put(FILE, b"x"),
            lambda: destination.check_writable(),
            lambda: destination.exclusive("shop"),
        ):
            with pytest.raises(DestinationAccessError, match="create=true"):
                action()
        assert on_disk(root) == []
        made = server.destination(root / "missing" / "deep", create=True)
        made.check_writable()
        store(made, FILE)
        assert keys(made) == [FILE]

    # --- the writer -----------------------------------------------------------------------------------------------

    def test_a_killed_writer_of_the_same_content_is_continued(
        self, destination: ServerDestination, server: Any, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        expected = blocks_digest(24)
        self.write_and_be_killed(server, root, expected, blocks=20)
        (left,) = (root / FOLDER).glob("*.in-progress")
        stored = left.stat().st_size
        assert stored >= len(BLOCK)
        sent = self.count_sent(monkeypatch)
        with destination.exclusive("shop"), destination.open_write(FILE, expected=expected) as writer:
            for _ in range(24):
                writer.write(BLOCK)
            writer.commit(expected)
        assert sum(sent) == expected.size - stored
        assert load(destination, FILE) == BLOCK * 24
        assert [path.name for path in (root / FOLDER).iterdir()] == [FILE.rsplit("/", 1)[1]]

    def test_what_differs_from_the_content_is_sent_anew(
        self, destination: ServerDestination, server: Any, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        expected = blocks_digest(6)
        self.write_and_be_killed(server, root, expected, blocks=5)
        (left,) = (root / FOLDER).glob("*.in-progress")
        with left.open("r+b") as stored:
            stored.seek(len(BLOCK) + 100)
            stored.write(b"torn")
        size = left.stat().st_size
        sent = self.count_sent(monkeypatch)
        with destination.exclusive("shop"), destination.open_write(FILE, expected=expected) as writer:
            for _ in range(6):
                writer.write(BLOCK)
            writer.commit(expected)
        assert sum(sent) >= expected.size - len(BLOCK) if size > len(BLOCK) + 104 else sent
        assert load(destination, FILE) == BLOCK * 6

    def test_what_may_still_be_somebodys_is_left_alone(
        self, destination: ServerDestination, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without the lease, only age tells that a writer is dead."""
        expected = blocks_digest(3)
        other = destination.open_write(FILE, expected=expected)
        other.write(BLOCK)
        self.until_stored(root / FOLDER, len(BLOCK), other)
        sent = self.count_sent(monkeypatch)
        with destination.open_write(f"{FOLDER}/x", expected=expected) as writer:
            writer.write(BLOCK)
        with destination.open_write(FILE, expected=expected) as writer:
            writer.write(BLOCK * 3)
            writer.commit(expected)
        assert sum(sent) == 4 * len(BLOCK)
        (left,) = (root / FOLDER).glob("*.in-progress")
        destination.delete([FILE])
        os.utime(left, (time.time() - 3600,) * 2)
        with destination.open_write(FILE, expected=expected) as writer:
            writer.write(BLOCK * 3)
            writer.commit(expected)
        assert sum(sent) == 6 * len(BLOCK)

    def write_and_be_killed(self, server: Any, root: Path, expected: FileDigest, blocks: int) -> None:
        code = (
            "import os, pickle, signal, sys\n"
            "from tests.destinations.server_faults import BLOCK, FILE\n"
            "make, address, root, settings, expected, blocks = pickle.loads(bytes.fromhex(sys.stdin.read()))\n"
            "writer = make(address, root, settings).open_write(FILE, expected=expected)\n"
            "for _ in range(blocks): writer.write(BLOCK)\n"
            "os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        make, address, place, settings = server.recipe(root)
        given = pickle.dumps((make, address, place, settings, expected, blocks)).hex()
        done = subprocess.run(
            [sys.executable, "-c", code], input=given, capture_output=True, text=True, cwd=Path(__file__).parents[2]
        )
        assert done.returncode == -9, done.stderr
        # The server may still be writing what had reached it.
        (left,) = (root / FOLDER).glob("*.in-progress")
        size = -1
        while left.stat().st_size != size:
            size = left.stat().st_size
            time.sleep(0.3)

    @staticmethod
    def count_sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
        sent: list[int] = []
        real = server_upload.SteadyUpload.send

        def counted(self: server_upload.SteadyUpload, data: bytes) -> None:
            sent.append(len(data))
            real(self, data)

        monkeypatch.setattr(server_upload.SteadyUpload, "send", counted)
        return sent

    @pytest.mark.parametrize("action", ["write", "put", "replace"])
    def test_whatever_request_a_writer_dies_before_leaves_a_whole_file_or_none_and_hinders_nobody(
        self, server: Any, root: Path, monkeypatch: pytest.MonkeyPatch, action: str
    ) -> None:
        """A process that dies sends nothing any more and its connections end; that is what is done here, at each request."""
        new, old = b"new content" * 5000, b"old"
        outcomes = set()
        number = 1 - self.step
        while True:
            number += self.step
            destination = server.destination(root, back_off=())
            sessions = self.sessions_of(destination)
            if action == "replace":
                destination.put(FILE, old, replace=True)
            with monkeypatch.context() as patch:
                requests = self.die_before(patch, number)
                try:
                    if action == "write":
                        with destination.open_write(FILE) as writer:
                            writer.write(new)
                            writer.commit(digest_of(new))
                    else:
                        destination.put(FILE, new, replace=action == "replace")
                except Killed:
                    pass
            for session in sessions:
                session.close()
            finished = requests[0] < number
            survivor = server.destination(root)
            found = [load(survivor, key) for key in keys(survivor)]
            assert found in ([[old], [new]] if action == "replace" else [[], [new]]), f"before request {number}"
            outcomes.add(found == [new])
            with survivor.exclusive("shop"):
                survivor.sweep_partial("shop")
                survivor.put(FILE, b"next", replace=True)
                assert load(survivor, FILE) == b"next"
                survivor.delete([FILE])
            assert on_disk(root) == [], f"before request {number}"
            survivor.close()
            if finished:
                break
        assert number > 8
        assert outcomes == {True, False}

    @staticmethod
    def sessions_of(destination: ServerDestination) -> list[Any]:
        """Every connection that it opens from now on."""
        opened: list[Any] = []
        real = destination._link._connect

        def connect() -> Any:
            opened.append(real())
            return opened[-1]

        destination._link._connect = connect
        return opened

    #: Every n-th request; for a server that needs long to let somebody in.
    step = 1

    def die_before(self, patch: pytest.MonkeyPatch, number: int) -> list[int]:
        """Raise :class:`Killed` instead of the n-th request and all later ones; the list's one item counts the requests."""
        raise NotImplementedError

    def test_of_several_processes_writing_one_key_exactly_one_wins(self, server: Any, root: Path) -> None:
        code = (
            "import pickle, sys\n"
            "from tests.destinations.contract import FILE, digest_of\n"
            "from raven_backup_provider.core.errors import FileExistsAtDestinationError\n"
            "make, address, root, settings, number = pickle.loads(bytes.fromhex(sys.stdin.readline()))\n"
            "data = str(number).encode() * 300_000\n"
            "writer = make(address, root, settings).open_write(FILE)\n"
            "writer.write(data); print('ready', flush=True); sys.stdin.readline()\n"
            "try:\n    writer.commit(digest_of(data)); print('won')\n"
            "except FileExistsAtDestinationError:\n    writer.abort(); print('lost')\n"
        )
        running = [
            subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=Path(__file__).parents[2],
            )
            for _ in range(3)
        ]
        for number, process in enumerate(running):
            assert process.stdin is not None
            process.stdin.write(pickle.dumps((*server.recipe(root), number)).hex() + "\n")
            process.stdin.flush()
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in running:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        said = [process.communicate(timeout=60)[0].strip() for process in running]
        assert sorted(said) == ["lost", "lost", "won"]
        destination = server.destination(root)
        assert load(destination, FILE) == str(said.index("won")).encode() * 300_000
        assert len(os.listdir(root / FOLDER)) == 1

    @pytest.mark.parametrize("done", [True, False], ids=["was done", "was not done"])
    def test_a_lost_answer_to_the_publishing_is_settled_by_looking(
        self, destination: ServerDestination, root: Path, monkeypatch: pytest.MonkeyPatch, done: bool
    ) -> None:
        self.lose_the_answer_to_publish(monkeypatch, destination, done=done)
        store(destination, FILE, b"content")
        assert load(destination, FILE) == b"content"
        assert os.listdir(root / FOLDER) == [FILE.rsplit("/", 1)[1]]

    def test_a_lost_answer_does_not_make_anothers_file_ours(
        self, destination: ServerDestination, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with destination.open_write(FILE) as writer:
            writer.write(b"content")
            self.lose_the_answer_to_publish(monkeypatch, destination, done=False)
            (root / FILE).write_bytes(b"another")
            (root / FILE).chmod(0o644)
            with pytest.raises(FileExistsAtDestinationError):
                writer.commit(digest_of(b"content"))
        assert load(destination, FILE) == b"another"

    @staticmethod
    def lose_the_answer_to_publish(
        monkeypatch: pytest.MonkeyPatch, destination: ServerDestination, *, done: bool
    ) -> None:
        """The next publishing loses its connection, before or after the server did it."""
        session = destination._link.take()
        kind = type(session)
        destination._link.give_back(session)
        real, calls = kind.publish, [0]

        def publish(self: Any, partial: str, final: str) -> None:
            calls[0] += 1
            if calls[0] > 1:
                return real(self, partial, final)
            if done:
                real(self, partial, final)
            raise ConnectionLostError("the line broke")

        monkeypatch.setattr(kind, "publish", publish)

    # --- the right to write ---------------------------------------------------------------------------------------

    def age_the_lease(self, root: Path, seconds: float) -> None:
        lease = root / "shop" / LEASE_NAME
        path = lease / "holder" if lease.is_dir() else lease
        os.utime(path, (time.time() - seconds,) * 2)

    def test_a_dead_holders_lease_is_taken_over_by_the_servers_clock(self, server: Any, root: Path) -> None:
        dead = server.destination(root)
        held = dead.exclusive("shop")
        held.__enter__()
        destination = server.destination(root)
        seen_alive = rf"process {os.getpid()} on .*last seen \d+ s ago"
        with pytest.raises(LockedError, match=seen_alive), destination.exclusive("shop"):
            pass
        self.age_the_lease(root, LIFETIME + 5)
        with destination.exclusive("shop"):
            store(destination, FILE)
            (lost,) = dead._rights._leases.values()
            seen = lost._store.read()
            assert seen is not None
            assert seen.text != lost._text
            held.__exit__(None, None, None)  # awake again, it must not end the new holder's
            with pytest.raises(LockedError), server.destination(root).exclusive("shop"):
                pass
        assert on_disk(root) == [FILE.split("/")[0], FOLDER, FILE]

    def test_who_lost_the_right_publishes_and_deletes_nothing_more(self, server: Any, root: Path) -> None:
        destination = server.destination(root)
        with destination.exclusive("shop"):
            store(destination, FILE)
            writer = destination.open_write(f"{FOLDER}/late")
            writer.write(b"late")
            (lease,) = destination._rights._leases.values()
            lease._lost = "now held by process 1 on elsewhere"
            with pytest.raises(LockedError, match="now held by process 1"):
                writer.commit(digest_of(b"late"))
            with pytest.raises(LockedError):
                destination.delete([FILE])
            with pytest.raises(LockedError):
                destination.put(f"{FOLDER}/small", b"")
            writer.abort()
            store(destination, "other/file")  # not what the lease is for
            lease._lost = None
        assert keys(destination) == ["other/file", FILE]

    def test_a_lease_given_up_while_another_run_looks_how_old_it_is_is_free(
        self, server: Any, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        holder, rival = server.destination(root), server.destination(root)
        held = holder.exclusive("shop")
        held.__enter__()
        clock = server_clock.server_now
        given_up: list[None] = []

        def give_up_first(session: ServerSession, folder: str) -> Any:
            if not given_up:
                held.__exit__(None, None, None)  # and with it goes the folder, empty as it is
                given_up.append(None)
            return clock(session, folder)

        monkeypatch.setattr(server_lease, "server_now", give_up_first)
        with rival.exclusive("shop"):
            store(rival, FILE)
        assert given_up
        assert keys(rival) == [FILE]

    def test_a_holder_that_sweeps_while_another_run_asks_the_servers_clock_spoils_nothing(
        self, server: Any, root: Path
    ) -> None:
        destination = server.destination(root)
        store(destination, FILE)
        swept: list[str] = []

        class SweptOnce:
            """The session of the one who asks; between its write and its look the holder sweeps."""

            def __init__(self, session: ServerSession) -> None:
                self._session = session

            def __getattr__(self, name: str) -> Any:
                return getattr(self._session, name)

            def look(self, path: str) -> Any:
                if not swept:
                    swept.extend(destination.sweep_partial(""))
                return self._session.look(path)

        with server.destination(root)._link.session() as session:
            now = server_clock.server_now(SweptOnce(session), server.path_of(root))
        assert len(swept) == 1
        assert abs((now - datetime.now(timezone.utc)).total_seconds()) < 60
        assert on_disk(root) == [FILE.split("/")[0], FOLDER, FILE]

    def test_runs_that_take_and_leave_the_lease_all_the_time_never_hold_it_together(
        self, server: Any, root: Path
    ) -> None:
        inside, most, rounds = [0], [0], [0] * 3
        guard = threading.Lock()

        def contend(number: int) -> None:
            destination = server.destination(root)
            deadline = time.monotonic() + 60
            while rounds[number] < 4:
                assert time.monotonic() < deadline
                try:
                    with destination.exclusive("shop"):
                        with guard:
                            inside[0] += 1
                            most[0] = max(most[0], inside[0])
                        time.sleep(0.005)
                        with guard:
                            inside[0] -= 1
                        rounds[number] += 1
                except LockedError:
                    time.sleep(0.005)
            destination.close()

        threads = [threading.Thread(target=contend, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert rounds == [4, 4, 4]
        assert most == [1]
        assert on_disk(root) == []

    # --- many and odd ---------------------------------------------------------------------------------------------

    def test_thousands_of_files_are_listed_in_order_and_deleted(
        self, destination: ServerDestination, root: Path
    ) -> None:
        folder = root / "shop" / "many"
        folder.mkdir(parents=True)
        for number in range(MANY):
            (folder / f"{number:06}.ravendb-incremental-backup").write_bytes(b"x" * (number % 5))
        for path in (root / "shop", folder):
            path.chmod(0o777)
        found = list(destination.list_files("shop"))
        assert len(found) == MANY
        assert [file.key for file in found] == sorted(file.key for file in found)
        assert [file.size for file in found[:6]] == [0, 1, 2, 3, 4, 0]
        destination.delete(file.key for file in found[: MANY // 2])
        assert len(keys(destination)) == MANY - MANY // 2

    def test_what_others_leave_there_is_neither_listed_nor_swept(
        self, destination: ServerDestination, root: Path, tmp_path: Path
    ) -> None:
        store(destination, FILE)
        for name in ("2026-11-22-13-00-00.ravendb-full-backup.in-progress", ".hidden"):
            (root / FOLDER / name).write_bytes(b"the server's")
        assert keys(destination) == [FILE]
        assert destination.stat(f"{FOLDER}/2026-11-22-13-00-00.ravendb-full-backup.in-progress") is None
        assert destination.sweep_partial("") == []
        assert len(list((root / FOLDER).iterdir())) == 3

    def test_a_folder_that_ravendb_has_just_made_is_not_swept(
        self, destination: ServerDestination, root: Path, tmp_path: Path
    ) -> None:
        store(destination, FILE)
        just_made = root / "shop" / "2026-11-22-14-00-00.ravendb-shop-A-backup"
        just_made.mkdir()
        just_made.chmod(0o777)
        assert destination.sweep_partial("") == []
        assert destination.sweep_abandoned("shop") == []
        assert just_made.is_dir()

    def test_a_partial_file_of_a_name_of_full_length_fits(self, destination: ServerDestination, root: Path) -> None:
        store(destination, "n" * 255)
        assert on_disk(root) == ["n" * 255]

    def test_a_bandwidth_limit_holds_over_writing_and_reading(
        self, server: Any, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        destination = server.destination(root, bandwidth_mb=100)
        waited: list[float] = []
        monkeypatch.setattr(destination._pace, "_sleep", waited.append)
        with destination.open_write(FILE) as writer:
            for _ in range(3):
                writer.write(BLOCK)
            writer.commit(blocks_digest(3))
        assert waited, "6 MiB (3 written, 3 read back) take 63 ms at 100 MB/s, and the budget is spent in pieces"

    def test_connections_are_used_again_and_closed_at_the_end(self, server: Any, root: Path) -> None:
        before = len(server.process.processes())
        destination = server.destination(root)
        for number in range(5):
            store(destination, f"{FOLDER}/{number}")
            assert load(destination, f"{FOLDER}/{number}") == b"content"
            keys(destination)
        assert len(server.process.processes()) - before <= 3 * self.processes_per_session
        destination.close()
        deadline = time.monotonic() + 60
        while len(server.process.processes()) > before:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    processes_per_session = 0

    @pytest.mark.long
    @pytest.mark.timeout(3600)
    def test_a_file_of_five_gibibytes_goes_there_and_back(self, destination: ServerDestination) -> None:
        block = os.urandom(1 << 20)
        digest = hashlib.sha256()
        with destination.open_write(FILE) as writer:
            for number in range(5 * 1024):
                piece = number.to_bytes(8, "big") + block[8:]
                digest.update(piece)
                writer.write(piece)
            writer.commit(FileDigest(5 << 30, digest.hexdigest()))
        with destination.open_read(FILE, (5 << 30) - 1_000_000) as file:
            assert len(file.read()) == 1_000_000
        with destination.open_read(FILE, (4 << 30) + 8) as file:
            assert file.read((1 << 20) - 8) == block[8:]
        destination.delete([FILE])
