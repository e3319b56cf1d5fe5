"""What a destination needs of a server, said in SFTP."""

from __future__ import annotations

import logging
import stat
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone

from raven_backup_provider.destinations.server_session import (
    ConnectionLostError,
    Entry,
    Refusal,
    RefusedError,
)
from raven_backup_provider.destinations.sftp_answers import StatusError
from raven_backup_provider.destinations.sftp_channel import SftpChannel
from raven_backup_provider.destinations.sftp_transfer import SftpDownload, SftpUpload, TransferSizes
from raven_backup_provider.destinations.sftp_wire import Attributes, Kind, Open, Status, long_number, number, string

log = logging.getLogger(__name__)

_HARDLINK = "hardlink@openssh.com"
_POSIX_RENAME = "posix-rename@openssh.com"
_STATVFS = "statvfs@openssh.com"
_LIMITS = "limits@openssh.com"


class SftpSession:
    """A :class:`~raven_backup_provider.destinations.server_session.ServerSession` over one SSH connection.

    :param hang_up: closes the connection below the channel.
    :param alive: whether that connection stands.
    :param file_mode: rights of new files; folders get the matching right to enter.
    """

    def __init__(
        self, channel: SftpChannel, hang_up: Callable[[], None], alive: Callable[[], bool], *, file_mode: int
    ) -> None:
        self._channel = channel
        self._hang_up = hang_up
        self._alive = alive
        self._file = Attributes(mode=file_mode)
        self._folder = Attributes(mode=file_mode | 0o100 | (file_mode & 0o444) >> 2)
        self._sizes = self._limits()

    @property
    def usable(self) -> bool:
        return not self._channel.broken and self._channel.idle and self._alive()

    def close(self) -> None:
        with suppress(Exception):
            self._channel.close()
        with suppress(Exception):
            self._hang_up()

    def home(self) -> str:
        answer = self._channel.call(Kind.REALPATH, string("."))
        if answer.number() < 1:
            raise ConnectionLostError("the server does not say which folder the login starts in")
        return answer.string()

    # --- looking --------------------------------------------------------------------------------------------------

    def entries(self, folder: str) -> list[Entry]:
        handle = self._channel.call(Kind.OPENDIR, string(folder)).data()
        found: list[Entry] = []
        try:
            while True:
                answer = self._channel.call(Kind.READDIR, string(handle))
                for _ in range(answer.number()):
                    name = answer.string()
                    answer.data()  # the line of `ls -l`, for people
                    entry = _entry(name, answer.attributes())
                    if entry is not None and name not in (".", ".."):
                        found.append(entry)
        except StatusError as error:
            if error.code != Status.EOF:
                raise
        finally:
            self._close_handle(handle)
        return found

    def look(self, path: str) -> Entry | None:
        try:
            found = self._channel.call(Kind.STAT, string(path)).attributes()
        except RefusedError as error:
            if error.refusal is Refusal.MISSING:
                return None
            raise
        return _entry(path.rsplit("/", 1)[-1], found)

    def free_bytes(self, folder: str) -> int | None:
        try:
            answer = self._channel.extended(_STATVFS, string(folder))
        except RefusedError as error:
            if error.refusal is Refusal.UNSUPPORTED:
                return None
            raise
        answer.long_number()
        fragment = answer.long_number()
        answer.long_number()
        answer.long_number()
        return fragment * answer.long_number()

    # --- changing -------------------------------------------------------------------------------------------------

    def make_folder(self, path: str) -> None:
        self._channel.call(Kind.MKDIR, string(path), self._folder.packed())

    def remove_file(self, path: str) -> None:
        self._channel.call(Kind.REMOVE, string(path))

    def remove_folder(self, path: str) -> None:
        self._channel.call(Kind.RMDIR, string(path))

    def publish(self, partial: str, final: str) -> None:
        """By a hard link where the server offers it, which fails if the name exists, as one step.

        The plain rename of version 3 must fail then as well, and does so on OpenSSH; some other servers overwrite, so there the
        look before it is what protects (and the lease, and that names of backups are made once).
        """
        if self._link(partial, final):
            try:
                self.remove_file(partial)
            except RefusedError as error:
                log.warning("The partial file %s stays behind: %s", partial, error)
            return
        self._need_free(final)
        try:
            self._channel.call(Kind.RENAME, string(partial), string(final))
        except RefusedError:
            self._need_free(final)
            raise

    def _link(self, partial: str, final: str) -> bool:
        try:
            self._channel.extended(_HARDLINK, string(partial), string(final))
        except RefusedError:
            self._need_free(final)
            return False  # no such extension, or the file system has no hard links
        return True

    def _need_free(self, path: str) -> None:
        if self.look(path) is not None:
            raise RefusedError(Refusal.EXISTS, "a file of that name exists")

    def replace(self, partial: str, final: str) -> None:
        try:
            self._channel.extended(_POSIX_RENAME, string(partial), string(final))
            return
        except RefusedError as error:
            if error.refusal is not Refusal.UNSUPPORTED:
                raise
        with suppress(RefusedError):
            self.remove_file(final)
        self._channel.call(Kind.RENAME, string(partial), string(final))

    # --- content --------------------------------------------------------------------------------------------------

    def upload(self, path: str, offset: int, *, new: bool) -> SftpUpload:
        flags = Open.WRITE | (Open.CREATE | Open.EXCLUSIVE if new else 0)
        handle = self._open(path, flags)
        return SftpUpload(self._channel, handle, offset, self._sizes, lambda: self.free_bytes(path))

    def download(self, path: str, offset: int, size: int) -> SftpDownload:
        return SftpDownload(self._channel, self._open(path, Open.READ), offset, size, self._sizes)

    def _open(self, path: str, flags: int) -> bytes:
        attributes = self._file if flags & Open.CREATE else Attributes()
        return self._channel.call(Kind.OPEN, string(path), number(flags), attributes.packed()).data()

    def _close_handle(self, handle: bytes) -> None:
        if not self._channel.broken:
            self._channel.call(Kind.CLOSE, string(handle))

    # --- leases ---------------------------------------------------------------------------------------------------

    def claim(self, path: str) -> None:
        try:
            handle = self._open(path, Open.WRITE | Open.CREATE | Open.EXCLUSIVE)
        except RefusedError as error:
            if error.refusal is Refusal.OTHER:  # what version 3 has for "exists"
                self._need_free(path)
            raise
        self._channel.call(Kind.CLOSE, string(handle))

    def claim_text_path(self, path: str) -> str:
        return path

    def write_text(self, path: str, data: bytes) -> None:
        # Not truncated: whoever reads at this moment sees the old text or the new one. Texts of one claim have one length.
        handle = self._open(path, Open.WRITE)
        try:
            self._channel.call(Kind.WRITE, string(handle), long_number(0), string(data))
        except RefusedError as error:
            if error.refusal is Refusal.OTHER and self.free_bytes(path) == 0:
                raise RefusedError(Refusal.FULL, f"{error.said}; 0 bytes are free") from error
            raise
        finally:
            self._close_handle(handle)

    def touch(self, path: str, now: datetime) -> None:
        self._channel.call(Kind.SETSTAT, string(path), Attributes(modified=int(now.timestamp())).packed())

    def unclaim(self, path: str) -> None:
        self.remove_file(path)

    def _limits(self) -> TransferSizes:
        try:
            answer = self._channel.extended(_LIMITS)
            answer.long_number()
            return TransferSizes.within(read=answer.long_number(), write=answer.long_number())
        except RefusedError:
            return TransferSizes()


def _entry(name: str, found: Attributes) -> Entry | None:
    kind = stat.S_IFMT(found.mode or 0)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return None
    modified = datetime.fromtimestamp(found.modified, timezone.utc) if found.modified is not None else None
    return Entry(name, kind == stat.S_IFDIR, found.size or 0, modified)
