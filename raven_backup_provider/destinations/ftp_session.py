"""What a destination needs of a server, said in FTP.

FTP has few ways to say no ("550" for nearly all), no exclusive create, and a rename that mostly overwrites. So: "not there" is
believed only if the words say it or a listing of the folder shows it, and a name is taken by making a folder, the one thing that
fails if it exists, on every server.
"""

from __future__ import annotations

import ftplib
import hashlib
import logging
import re
import select
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime

from raven_backup_provider.destinations.ftp_errors import data_error, refused
from raven_backup_provider.destinations.ftp_listing import is_self_or_parent, parse_facts, parse_list, parse_time
from raven_backup_provider.destinations.ftp_transfer import DataConnection, FtpDownload, FtpUpload
from raven_backup_provider.destinations.partial_names import fixed_partial_name
from raven_backup_provider.destinations.server_session import ConnectionLostError, Entry, Refusal, RefusedError

log = logging.getLogger(__name__)

_HOLDER = "holder"
#: Seconds after which somebody else's claim on a name counts as left by a dead process: more than two time-outs.
_CLAIM_LIFETIME = 130.0
_CLAIM_POLL = 0.5
_LOOKS = 3


class FtpSession:
    """A :class:`~raven_backup_provider.destinations.server_session.ServerSession` over one control connection.

    :param client: logged in.
    :param identity: the destination in words, for errors.
    """

    def __init__(
        self,
        client: ftplib.FTP,
        identity: str,
        *,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._identity = identity
        self._sleep = sleep
        self._monotonic = monotonic
        self._broken = False
        self._features = self._learn_features()
        if "UTF8" in self._features:
            with suppress(RefusedError):
                self._command("OPTS UTF8 ON")
        self._command("TYPE I")

    @property
    def usable(self) -> bool:
        sock = self._client.sock
        if self._broken or sock is None:
            return False
        try:
            return not select.select([sock], [], [], 0)[0]  # what a server says unasked is that it hangs up
        except (OSError, ValueError):
            return False

    def close(self) -> None:
        self._broken = True
        with suppress(Exception):
            self._client.close()

    def home(self) -> str:
        with self._replies():
            return self._client.pwd()

    # --- looking --------------------------------------------------------------------------------------------------

    def entries(self, folder: str) -> list[Entry]:
        try:
            return self._list(folder)
        except RefusedError as error:
            if error.refusal is not Refusal.MISSING and self._is_missing(folder, error):
                raise RefusedError(Refusal.MISSING, error.said) from error
            raise _for_lack_of_rights(error) from error

    def _list(self, folder: str) -> list[Entry]:
        listed = self._listed(folder).items()
        found = [entry or self._size_and_time(f"{folder.rstrip('/')}/{name}") for name, entry in listed]
        return [entry for entry in found if entry is not None]

    def _listed(self, folder: str) -> dict[str, Entry | None]:
        """By name; None: the listing does not tell what it is."""
        self._command(f"CWD {folder}")  # not as an argument of LIST: there a name may be an option or a pattern
        if "MLST" in self._features:
            lines = [line for line in self._lines("MLSD") if not is_self_or_parent(line)]
            return {entry.name: entry for line in lines if (entry := parse_facts(line)) is not None}
        entries = parse_list(self._lines("LIST"))
        if entries is not None:
            return {entry.name: entry for entry in entries}
        names = (line.rsplit("/", 1)[-1] for line in self._lines("NLST"))
        return {name: None for name in names if name not in ("", ".", "..")}

    def look(self, path: str) -> Entry | None:
        for attempt in range(_LOOKS):
            try:
                return self._facts(path) if "MLST" in self._features else self._size_and_time(path)
            except RefusedError as error:
                if error.refusal is Refusal.MISSING or self._is_missing(path, error):
                    return None
                # It may have been made between the two questions.
                if attempt == _LOOKS - 1:
                    raise _for_lack_of_rights(error) from error
        raise AssertionError("unreachable")

    def _facts(self, path: str) -> Entry | None:
        lines = self._command(f"MLST {path}").splitlines()
        found = parse_facts(lines[1].lstrip()) if len(lines) > 1 else None
        return Entry(path.rsplit("/", 1)[-1], found.is_folder, found.size, found.modified) if found else None

    def _size_and_time(self, path: str) -> Entry | None:
        name = path.rsplit("/", 1)[-1]
        try:
            size = int(self._command(f"SIZE {path}")[3:].strip() or 0)
        except RefusedError as error:
            with suppress(RefusedError):
                self._command(f"CWD {path}")
                return Entry(name, True)
            raise error from None
        modified = None
        with suppress(RefusedError):
            modified = parse_time(self._command(f"MDTM {path}")[3:])
        return Entry(name, False, size, modified)

    def _is_missing(self, path: str, error: RefusedError) -> bool:
        """Whether a refusal means "not there": only if the folder above can be listed without it, or is itself not there."""
        if error.refusal is Refusal.FULL or not path.rpartition("/")[2]:
            return False
        try:
            return not self._is_listed(path)
        except RefusedError:
            return False

    def _is_listed(self, path: str, *, as_folder: bool = False) -> bool:
        """Whether the folder above shows that name; raises what the server said if that folder is there but cannot be listed."""
        folder, _, name = path.rpartition("/")
        try:
            listed = self._listed(folder or "/")
        except RefusedError as error:
            if not folder or (error.refusal is not Refusal.MISSING and self._is_listed(folder, as_folder=True)):
                raise
            return False
        entry = listed.get(name)
        return name in listed and not (as_folder and entry is not None and not entry.is_folder)

    def free_bytes(self, folder: str) -> int | None:
        return None

    # --- changing -------------------------------------------------------------------------------------------------

    def make_folder(self, path: str) -> None:
        self._command(f"MKD {path}")

    def remove_file(self, path: str) -> None:
        self._refuse_missing(f"DELE {path}", path)

    def remove_folder(self, path: str) -> None:
        if self.entries(path):  # not left to the server alone: some remove what is inside as well
            raise RefusedError(Refusal.OTHER, "the folder is not empty")
        self._refuse_missing(f"RMD {path}", path)

    def publish(self, partial: str, final: str) -> None:
        """Under a claim on the name, so that of two at a time one sees the other's file.

        Whoever publishes without such a claim (another program) can still overwrite: FTP has nothing against that.
        """
        claim = self._claim_name(final)
        try:
            if self.look(final) is not None:
                raise RefusedError(Refusal.EXISTS, "a file of that name exists")
            self._rename(partial, final)
        finally:
            if not self._broken:
                with suppress(RefusedError):
                    self._command(f"RMD {claim}")

    def _claim_name(self, final: str) -> str:
        folder, _, name = final.rpartition("/")
        claim = f"{folder}/{fixed_partial_name(name, hashlib.sha256(name.encode()).hexdigest()[:16])}"
        give_up_at = self._monotonic() + _CLAIM_LIFETIME
        while True:
            try:
                self.claim(claim)
                return claim
            except RefusedError as error:
                if error.refusal is not Refusal.EXISTS or self.look(final) is not None:
                    raise
            if self._monotonic() >= give_up_at:
                with suppress(RefusedError):
                    self._command(f"RMD {claim}")
                give_up_at = self._monotonic() + _CLAIM_LIFETIME
            self._sleep(_CLAIM_POLL)

    def replace(self, partial: str, final: str) -> None:
        try:
            self._rename(partial, final)
        except RefusedError:
            if self.look(partial) is None or self.look(final) is None:
                raise
            self._command(f"DELE {final}")  # this server's rename does not overwrite
            self._rename(partial, final)

    def _rename(self, old: str, new: str) -> None:
        with self._replies():
            try:
                self._client.sendcmd(f"RNFR {old}")
            except ftplib.error_perm as error:
                if self.look(old) is None:
                    raise RefusedError(Refusal.MISSING, str(error)) from error
                raise
            self._client.voidcmd(f"RNTO {new}")

    # --- content --------------------------------------------------------------------------------------------------

    def upload(self, path: str, offset: int, *, new: bool) -> FtpUpload:
        if new or not offset:
            return FtpUpload(self._transfer(f"STOR {path}"), 0)
        try:
            return FtpUpload(self._transfer(f"STOR {path}", offset), offset)
        except RefusedError:
            # Some servers allow no REST before STOR. Appending does the same if the file ends just there.
            found = self.look(path)
            if found is None or found.size != offset:
                raise
            return FtpUpload(self._transfer(f"APPE {path}"), offset)

    def download(self, path: str, offset: int, size: int) -> FtpDownload:
        try:
            return FtpDownload(self._transfer(f"RETR {path}", offset or None))
        except RefusedError as error:
            if error.refusal is not Refusal.MISSING and self.look(path) is None:
                raise RefusedError(Refusal.MISSING, error.said) from error
            raise _for_lack_of_rights(error) from error

    # --- leases ---------------------------------------------------------------------------------------------------

    def claim(self, path: str) -> None:
        for attempt in range(_LOOKS):
            try:
                self.make_folder(path)
                return
            except RefusedError as error:
                if error.refusal in (Refusal.EXISTS, Refusal.MISSING, Refusal.FULL):
                    raise
                if self.look(path) is not None:
                    raise RefusedError(Refusal.EXISTS, error.said) from error
                if self.look(path.rpartition("/")[0] or "/") is None:
                    raise RefusedError(Refusal.MISSING, error.said) from error
                # It may have been given up between the two questions.
                if attempt == _LOOKS - 1:
                    raise _for_lack_of_rights(error) from error

    def claim_text_path(self, path: str) -> str:
        return f"{path}/{_HOLDER}"

    def write_text(self, path: str, data: bytes) -> None:
        upload = self.upload(path, 0, new=True)
        upload.send(data)
        upload.finish()

    def touch(self, path: str, now: datetime) -> None:
        self.write_text(path, b"")

    def unclaim(self, path: str) -> None:
        with suppress(RefusedError):
            self._command(f"DELE {self.claim_text_path(path)}")
        self._refuse_missing(f"RMD {path}", path)

    # --- the wire -------------------------------------------------------------------------------------------------

    def _learn_features(self) -> set[str]:
        try:
            lines = self._command("FEAT").splitlines()[1:-1]
        except RefusedError:
            return set()
        return {line.strip().partition(" ")[0].upper() for line in lines if line.strip()}

    def _command(self, text: str) -> str:
        with self._replies():
            return self._client.voidcmd(text)

    def _refuse_missing(self, command: str, path: str) -> None:
        try:
            self._command(command)
        except RefusedError as error:
            if error.refusal is not Refusal.MISSING and self.look(path) is None:
                raise RefusedError(Refusal.MISSING, error.said) from error
            raise _for_lack_of_rights(error) from error

    def _lines(self, command: str) -> list[str]:
        data = self._transfer(command)
        pieces = list(iter(data.receive, b""))
        data.finish()
        lines = re.split(r"\r?\n", b"".join(pieces).decode(self._client.encoding, "surrogateescape"))
        return [line for line in lines if line and self._can_be_named(line)]

    def _can_be_named(self, line: str) -> bool:
        try:
            line.encode(self._client.encoding)
        except UnicodeEncodeError:
            log.warning("%s: a name that is not %s is passed over: %a", self._identity, self._client.encoding, line)
            return False
        return True

    def _transfer(self, command: str, offset: int | None = None) -> DataConnection:
        with self._replies():
            return DataConnection(self._client, self._client.transfercmd(command, offset), self.close, self._meaning)

    @contextmanager
    def _replies(self) -> Iterator[None]:
        try:
            yield
        except ftplib.Error as error:
            raise self._meaning(error) from error
        except UnicodeEncodeError as error:
            raise RefusedError(
                Refusal.UNSUPPORTED, f"the Connection's encoding {error.encoding} has no way to write {error.object!a}"
            ) from None
        except (OSError, EOFError, UnicodeDecodeError) as error:
            self.close()
            raise ConnectionLostError(str(error) or "the connection was closed by the other side") from error

    def _meaning(self, error: ftplib.Error) -> Exception:
        found = refused(error)
        if isinstance(found, ConnectionLostError):
            self.close()
            return found
        return data_error(found, self._identity) or found


def _for_lack_of_rights(error: RefusedError) -> RefusedError:
    """What a "550" without a reason means, said about something that is there."""
    if error.refusal is Refusal.OTHER and error.said.startswith("550"):
        return RefusedError(Refusal.RIGHTS, error.said)
    return error
