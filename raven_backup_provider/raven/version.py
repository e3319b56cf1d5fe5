"""Which RavenDB answers. Behaviour differs between 5.4, 6.2 and 7.1, and every manifest names the version."""

from __future__ import annotations

from dataclasses import dataclass

from raven_backup_provider.core.errors import ServerError
from raven_backup_provider.raven.transport import Node, Transport


@dataclass(frozen=True, slots=True)
class ServerVersion:
    """Version of one node.

    :param full: such as ``7.1.5``.
    :param build: such as ``71028``.
    """

    full: str
    build: int

    @property
    def major_minor(self) -> tuple[int, int]:
        """Such as ``(7, 1)``."""
        parts = self.full.split(".")
        return int(parts[0]), int(parts[1])

    def __str__(self) -> str:
        return self.full


def server_version(t: Transport, node: Node | None = None) -> ServerVersion:
    """Version and build of one node (``GET /build/version``).

    :raises ServerError: what answers is no RavenDB.
    """
    told = t.get("/build/version", node=node)
    try:
        full = str(told["FullVersion"]).split("-")[0]
        version = ServerVersion(full, int(told["BuildVersion"]))
        _ = version.major_minor
    except (KeyError, TypeError, ValueError, IndexError):
        where = node.url if node else t.settings.urls[0]
        raise ServerError(f"{where} does not answer like RavenDB on /build/version. Check the URL.") from None
    return version
