"""What a file server must be able to do, whatever its protocol, and how it says no.

SFTP and FTP differ in every detail, but a destination on either needs the same few things. Each protocol has a session class
that does them; everything above (partial names, read-back, lease, resuming, listing) is written once, on this.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Protocol


class Refusal(Enum):
    """Why a server refused, as far as its answer tells."""

    MISSING = "no such file or folder"
    EXISTS = "the name is taken"
    RIGHTS = "permission denied"
    FULL = "no space left or quota reached"
    UNSUPPORTED = "not supported by this server"
    OTHER = "other"


class RefusedError(Exception):
    """The server answered and refused; the connection is still good.

    :param said: the server's own words.
    """

    def __init__(self, refusal: Refusal, said: str) -> None:
        self.refusal = refusal
        self.said = said
        super().__init__(said)


class ConnectionLostError(Exception):
    """No answer in time, or the connection ended: whether the last request was carried out is not known."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a folder. What is neither file nor folder (a link, a device) is no entry.

    :param size: bytes; 0 for a folder.
    :param modified: by the server's clock, UTC; None where it does not say.
    """

    name: str
    is_folder: bool
    size: int = 0
    modified: datetime | None = None


class Upload(Protocol):
    """A file being sent. It occupies its session until :meth:`finish` or :meth:`give_up`."""

    @property
    def acknowledged(self) -> int:
        """Offset up to which the server has said that it wrote."""

    def send(self, data: bytes) -> None:
        """Append; returns when the data is on its way."""

    def finish(self) -> None:
        """Wait until the server has everything, and has it on disk where it can say so; the session is free again."""

    def give_up(self) -> None:
        """Leave what was sent; never raises. The session may be unusable afterwards."""


class Download(Protocol):
    """A file being received."""

    def into(self, buffer: memoryview) -> int:
        """Put the next bytes of the file into ``buffer``, as many as come soon; how many: 0 is the end of the file."""

    def close(self) -> None:
        """End it, early or not; never raises. The session may be unusable afterwards."""


class ServerSession(Protocol):
    """One connection to a file server. Paths are absolute. Not to be shared between threads at a time.

    Every method raises :class:`RefusedError` where the server says no, :class:`ConnectionLostError` where it says nothing.
    """

    @property
    def usable(self) -> bool:
        """Whether the connection seems to stand and is between two requests."""

    def close(self) -> None:
        """Hang up; never raises."""

    def home(self) -> str:
        """Absolute path of the folder that the login starts in."""

    def entries(self, folder: str) -> list[Entry]:
        """What is in a folder, in no order; without ``.`` and ``..``."""

    def look(self, path: str) -> Entry | None:
        """What is there under that name; None: the server is sure that there is nothing."""

    def make_folder(self, path: str) -> None:
        """Make one folder; fails if the name is taken."""

    def remove_file(self, path: str) -> None:
        """Remove a file."""

    def remove_folder(self, path: str) -> None:
        """Remove an empty folder."""

    def publish(self, partial: str, final: str) -> None:
        """Rename; refuses with EXISTS if the new name is taken."""

    def replace(self, partial: str, final: str) -> None:
        """Rename over whatever bears the new name, as one step where the server has such a thing."""

    def upload(self, path: str, offset: int, *, new: bool) -> Upload:
        """Begin to write at ``offset`` (at most the file's size); ``new``: the file must not exist yet where that can be said."""

    def download(self, path: str, offset: int, size: int) -> Download:
        """Begin to read at ``offset``; ``size`` is the whole file's as last seen."""

    def free_bytes(self, folder: str) -> int | None:
        """Free space in bytes for this login; None where the server does not tell."""

    # --- what a lease is made of ----------------------------------------------------------------------------------

    def claim(self, path: str) -> None:
        """Take a name as one step; refuses with EXISTS if it is taken."""

    def claim_text_path(self, path: str) -> str:
        """Where the text of a claim lies."""

    def write_text(self, path: str, data: bytes) -> None:
        """Write the text of a claim, over an older one; fails if the claim is gone."""

    def touch(self, path: str, now: datetime) -> None:
        """Make the text of a claim as old as ``now`` says, where nothing can be written into it."""

    def unclaim(self, path: str) -> None:
        """Remove a claim with its text."""
