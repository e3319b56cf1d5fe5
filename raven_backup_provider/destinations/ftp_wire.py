"""Commands and replies of FTP on one control connection, and the data connections it opens."""

from __future__ import annotations

import ftplib
import logging
import re
import select
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from raven_backup_provider.destinations.ftp_errors import data_error, refused
from raven_backup_provider.destinations.ftp_transfer import DataConnection
from raven_backup_provider.destinations.server_session import ConnectionLostError, Refusal, RefusedError

log = logging.getLogger(__name__)


class FtpWire:
    """Methods raise RefusedError for a refusal, ConnectionLostError for silence, DestinationError where TLS is the matter.

    :param client: logged in.
    :param identity: the destination in words, for errors.
    """

    def __init__(self, client: ftplib.FTP, identity: str) -> None:
        self._client = client
        self._identity = identity
        self.broken = False
        self.features = self._learn_features()
        if "UTF8" in self.features:
            with suppress(RefusedError):
                self.command("OPTS UTF8 ON")
        self.command("TYPE I")  # sizes and offsets in bytes

    @property
    def usable(self) -> bool:
        """Whether the connection seems to stand."""
        sock = self._client.sock
        if self.broken or sock is None:
            return False
        try:
            return not select.select([sock], [], [], 0)[0]  # what a server says unasked is that it hangs up
        except (OSError, ValueError):
            return False

    def close(self) -> None:
        """Hang up; never raises."""
        self.broken = True
        with suppress(Exception):
            self._client.close()

    def command(self, text: str) -> str:
        """Send a command; the reply that says it was done."""
        with self._replies():
            return self._client.voidcmd(text)

    def begin(self, text: str) -> None:
        """Send the first of two commands that belong together."""
        with self._replies():
            self._client.sendcmd(text)

    def working_folder(self) -> str:
        """Where the login starts."""
        with self._replies():
            return self._client.pwd()

    def lines(self, command: str) -> list[str]:
        """The lines of a listing. Names that the connection's encoding cannot write are left out: nothing can be asked of them."""
        data = self.transfer(command)
        text = data.receive_all().decode(self._client.encoding, "surrogateescape")
        data.finish()
        lines = re.split(r"\r?\n", text)
        return [line for line in lines if line and self._can_be_named(line)]

    def transfer(self, command: str, offset: int | None = None) -> DataConnection:
        """Open a data connection for a command, from an offset of the file on."""
        with self._replies():
            connection = self._client.transfercmd(command, offset)
        return DataConnection(self._client, connection, self.close, self._meaning)

    def _can_be_named(self, line: str) -> bool:
        try:
            line.encode(self._client.encoding)
        except UnicodeEncodeError:
            log.warning("%s: a name that is not %s is passed over: %a", self._identity, self._client.encoding, line)
            return False
        return True

    def _learn_features(self) -> set[str]:
        try:
            lines = self.command("FEAT").splitlines()[1:-1]
        except RefusedError:
            return set()
        return {line.strip().partition(" ")[0].upper() for line in lines if line.strip()}

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
