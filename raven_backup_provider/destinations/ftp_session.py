"""What a destination needs of a server, said in FTP.

FTP has few ways to say no ("550" for nearly all), no exclusive create, and a rename that mostly overwrites. So: "not there" is
believed only if the words say it or a listing of the folder shows it, and a name is taken by making a folder, the one thing that
fails if it exists, on every server.
"""

from __future__ import annotations

import ftplib
import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from raven_backup_provider.destinations.ftp_listing import is_self_or_parent, parse_facts, parse_list, parse_time
from raven_backup_provider.destinations.ftp_transfer import FtpDownload, FtpUpload
from raven_backup_provider.destinations.ftp_wire import FtpWire
from raven_backup_provider.destinations.partial_names import fixed_partial_name
from raven_backup_provider.destinations.server_session import Entry, Refusal, RefusedError

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
        self._wire = FtpWire(client, identity)
        self._sleep = sleep
        self._monotonic = monotonic
        self._machine_listings = "MLST" in self._wire.features

    @property
    def usable(self) -> bool:
        return self._wire.usable

    def close(self) -> None:
        self._wire.close()

    def home(self) -> str:
        return self._wire.working_folder()

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
        self._wire.command(f"CWD {folder}")  # not as an argument of LIST: there a name may be an option or a pattern
        if self._machine_listings:
            lines = [line for line in self._wire.lines("MLSD") if not is_self_or_parent(line)]
            return {entry.name: entry for line in lines if (entry := parse_facts(line)) is not None}
        entries = parse_list(self._wire.lines("LIST"))
        if entries is not None:
            return {entry.name: entry for entry in entries}
        names = (line.rsplit("/", 1)[-1] for line in self._wire.lines("NLST"))
        return {name: None for name in names if name not in ("", ".", "..")}

    def look(self, path: str) -> Entry | None:
        for attempt in range(_LOOKS):
            try:
                return self._facts(path) if self._machine_listings else self._size_and_time(path)
            except RefusedError as error:
                if error.refusal is Refusal.MISSING or self._is_missing(path, error):
                    return None
                # It may have been made between the two questions.
                if attempt == _LOOKS - 1:
                    raise _for_lack_of_rights(error) from error
        raise AssertionError("unreachable")

    def _facts(self, path: str) -> Entry | None:
        lines = self._wire.command(f"MLST {path}").splitlines()
        found = parse_facts(lines[1].lstrip()) if len(lines) > 1 else None
        return Entry(path.rsplit("/", 1)[-1], found.is_folder, found.size, found.modified) if found else None

    def _size_and_time(self, path: str) -> Entry | None:
        name = path.rsplit("/", 1)[-1]
        try:
            size = int(self._wire.command(f"SIZE {path}")[3:].strip() or 0)
        except RefusedError as error:
            with suppress(RefusedError):
                self._wire.command(f"CWD {path}")
                return Entry(name, True)
            raise error from None
        modified = None
        with suppress(RefusedError):
            modified = parse_time(self._wire.command(f"MDTM {path}")[3:])
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
        self._wire.command(f"MKD {path}")

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
            if not self._wire.broken:
                with suppress(RefusedError):
                    self._wire.command(f"RMD {claim}")

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
                    self._wire.command(f"RMD {claim}")
                give_up_at = self._monotonic() + _CLAIM_LIFETIME
            self._sleep(_CLAIM_POLL)

    def replace(self, partial: str, final: str) -> None:
        try:
            self._rename(partial, final)
        except RefusedError:
            if self.look(partial) is None or self.look(final) is None:
                raise
            self._wire.command(f"DELE {final}")  # this server's rename does not overwrite
            self._rename(partial, final)

    def _rename(self, old: str, new: str) -> None:
        try:
            self._wire.begin(f"RNFR {old}")
        except RefusedError as error:
            if error.refusal is not Refusal.MISSING and self.look(old) is None:
                raise RefusedError(Refusal.MISSING, error.said) from error
            raise _for_lack_of_rights(error) from error
        self._wire.command(f"RNTO {new}")

    # --- content --------------------------------------------------------------------------------------------------

    def upload(self, path: str, offset: int, *, new: bool) -> FtpUpload:
        if new or not offset:
            return FtpUpload(self._wire.transfer(f"STOR {path}"), 0)
        try:
            return FtpUpload(self._wire.transfer(f"STOR {path}", offset), offset)
        except RefusedError:
            # Some servers allow no REST before STOR. Appending does the same if the file ends just there.
            found = self.look(path)
            if found is None or found.size != offset:
                raise
            return FtpUpload(self._wire.transfer(f"APPE {path}"), offset)

    def download(self, path: str, offset: int, size: int) -> FtpDownload:
        try:
            return FtpDownload(self._wire.transfer(f"RETR {path}", offset or None))
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
            self._wire.command(f"DELE {self.claim_text_path(path)}")
        self._refuse_missing(f"RMD {path}", path)

    def _refuse_missing(self, command: str, path: str) -> None:
        try:
            self._wire.command(command)
        except RefusedError as error:
            if error.refusal is not Refusal.MISSING and self.look(path) is None:
                raise RefusedError(Refusal.MISSING, error.said) from error
            raise _for_lack_of_rights(error) from error


def _for_lack_of_rights(error: RefusedError) -> RefusedError:
    """What a "550" without a reason means, said about something that is there."""
    if error.refusal is Refusal.OTHER and error.said.startswith("550"):
        return RefusedError(Refusal.RIGHTS, error.said)
    return error
