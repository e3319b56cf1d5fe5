"""What the server's licence allows, by RavenDB's own flag names. Read only: no way round a licence is taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from raven_backup_provider.core.errors import LicenceError
from raven_backup_provider.raven import licence_flags
from raven_backup_provider.raven.transport import Node, Transport


@dataclass(frozen=True, slots=True)
class Licence:
    """``GET /license/status``.

    :param flags: every boolean of the answer, such as ``HasSnapshotBackups``.
    :param status: in words, such as ``AGPL - Open Source``.
    :param type: such as ``None``, ``Developer``, ``Enterprise``.
    """

    flags: Mapping[str, bool]
    status: str
    type: str

    def allows(self, flag: str) -> bool:
        """False also for a flag the server does not know: checks fail closed."""
        return self.flags.get(flag) is True


def read_licence(t: Transport, node: Node | None = None) -> Licence:
    """The licence of the cluster."""
    told = t.get("/license/status", node=node) or {}
    flags = {str(name): value for name, value in told.items() if isinstance(value, bool)}
    return Licence(flags=flags, status=str(told.get("Status") or ""), type=str(told.get("Type") or ""))


def require(t: Transport, flag: str, what: str) -> None:
    """Refuse early what the server would refuse.

    :param what: what is wanted, in words that continue "cannot", such as ``take snapshots``.
    :raises LicenceError: with the flag's name.
    """
    licence = read_licence(t)
    if not licence.allows(flag):
        raise LicenceError(
            f"{t.settings.urls[0]} cannot {what}: its licence ({licence.status or licence.type}) lacks {flag}.", flag
        )


__all__ = ["Licence", "licence_flags", "read_licence", "require"]
