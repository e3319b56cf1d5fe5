"""The folder of a server that a destination lives in, and the folders below it."""

from __future__ import annotations

from raven_backup_provider.core.errors import ConfigurationError, DestinationAccessError
from raven_backup_provider.destinations.server_session import RefusedError, ServerSession


class ServerRoot:
    """Where keys start.

    :param given: absolute path, ``~`` or ``~/folder``.
    :param identity: the destination in words, for errors.
    :param create: make it if it is missing.
    :raises ConfigurationError: no such path.
    """

    def __init__(self, given: str, identity: str, *, create: bool) -> None:
        self._given = given.rstrip("/") or "/"
        self._identity = identity
        self._create = create
        parts = self._given.removeprefix("~").split("/")
        if not (given.startswith(("/", "~/")) or self._given == "~"):
            raise ConfigurationError(
                f"{identity}: {given!r} is no folder. Give one that starts with '/', or '~/...' below the login's own."
            )
        if any(part in (".", "..") for part in parts) or any(char < " " for char in given):
            raise ConfigurationError(f"{identity}: the folder must not have '.', '..' or control characters in it.")
        self._found: str | None = None if self._given.startswith("~") else self._given

    @property
    def known(self) -> bool:
        """Whether the path is known without asking the server."""
        return self._found is not None

    @property
    def path(self) -> str:
        """Absolute path on the server; as given while that is not known."""
        return self._found if self._found is not None else self._given

    @property
    def folder(self) -> str:
        """The path, to be followed by ``/``."""
        return self.path.rstrip("/")

    def find(self, session: ServerSession) -> None:
        """Ask for the login's own folder, if the path starts there."""
        if self._found is None:
            self._found = session.home().rstrip("/") + self._given[1:] or "/"

    def need(self, session: ServerSession) -> None:
        """Raise unless it is there. One that will be made may be missing still: it is a place without backups.

        :raises DestinationAccessError: it is not; says how to make it.
        """
        self.find(session)
        found = session.look(self.path)
        if found.is_folder if found is not None else self._create:
            return
        state = "is not a folder" if found is not None else "does not exist on that server"
        raise DestinationAccessError(
            f"{self._identity}: the folder {self.path} {state}. Make it there, or add the setting create=true; it is not made "
            "by itself, since a misspelt path would then look like a place without backups."
        )

    def need_or_make(self, session: ServerSession) -> None:
        """As :meth:`need`, but makes it where that is asked for."""
        self.find(session)
        if self._create:
            self._make(session, self.path, "/")
        else:
            self.need(session)

    def make_folders(self, session: ServerSession, folder: str) -> None:
        """Make a folder below the root and those above it that are missing."""
        found = session.look(folder)
        if found is not None and found.is_folder:
            return
        self.need_or_make(session)
        if folder != self.path:
            self._make(session, folder, self.path)

    def _make(self, session: ServerSession, folder: str, top: str) -> None:
        found = session.look(folder)
        if found is not None and found.is_folder:
            return
        parent = folder.rpartition("/")[0] or "/"
        if folder != top and parent != folder:
            self._make(session, parent, top)
        try:
            session.make_folder(folder)
        except RefusedError:
            found = session.look(folder)
            if found is None or not found.is_folder:
                raise
            # another run was faster
