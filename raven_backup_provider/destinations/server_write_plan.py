"""What one file on a server is to become."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from raven_backup_provider.core.pace import Pace
from raven_backup_provider.destinations.server_link import ServerLink


@dataclass(frozen=True, slots=True)
class WritePlan:
    """What is to be written where.

    :param where: the file in words, such as ``'shop/x' in sftp://backup@box/srv``.
    :param partial: path on the server while it is written, ``final`` afterwards.
    :param resumed: bytes of the same content that ``partial`` holds already; None: it is still to be made.
    :param read_back: compare what the server stored with what was given.
    :param may_publish: raises LockedError if the right to write was lost meanwhile.
    """

    link: ServerLink
    pace: Pace
    key: str
    where: str
    partial: str
    final: str
    resumed: int | None
    read_back: bool
    may_publish: Callable[[], None]
