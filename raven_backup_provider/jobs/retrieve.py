"""Files that lie in an archive class or vault: which of them must be retrieved before they can be read, asking for it, and
looking whether it is done. Waiting is for the caller: it takes hours (operators wait in the triggerer).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from raven_backup_provider.core.destination import Archiving, Destination, RetrievalState
from raven_backup_provider.core.errors import ArchivedFileError, FileMissingAtDestinationError, RetrievalRunningError
from raven_backup_provider.jobs.folder_view import BackupFolderView

log = logging.getLogger(__name__)

#: Files that a message names.
_LISTED = 10


@dataclass(frozen=True, slots=True)
class Pending:
    """Files that cannot be read now, by their keys at the destination itself.

    :param archived: their retrieval was not asked for.
    :param running: it was.
    """

    archived: tuple[str, ...] = ()
    running: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.archived or self.running)

    @property
    def keys(self) -> tuple[str, ...]:
        """All of them."""
        return self.archived + self.running


def pending(destination: Destination | BackupFolderView, keys: Iterable[str]) -> Pending:
    """Which of these files cannot be read now; none at a destination that archives nothing.

    A file that is not there at all is for whoever reads it to tell.
    """
    place, plain = _plain(destination, keys)
    if not isinstance(place, Archiving):
        return Pending()
    found: dict[RetrievalState, list[str]] = {state: [] for state in RetrievalState}
    for key in plain:
        try:
            found[place.retrieval(key).state].append(key)
        except FileMissingAtDestinationError:
            continue
    return Pending(tuple(found[RetrievalState.ARCHIVED]), tuple(found[RetrievalState.RUNNING]))


def retrieve(
    destination: Destination | BackupFolderView, keys: Iterable[str], *, tier: str | None = None, days: int = 3
) -> Pending:
    """Ask for every file that is not readable; those that are not yet. Asking twice is harmless.

    :param tier: the store's name of a speed; None: its standard one.
    :param days: how long the readable copies are kept.
    :raises ConfigurationError: the store has no such tier; the message lists those it has.
    """
    place, _ = _plain(destination, ())
    waiting = pending(destination, keys)
    if not isinstance(place, Archiving):
        return waiting
    said = Counter(place.request_retrieval(key, tier=tier, days=days) for key in waiting.archived)
    for sentence, count in said.items():
        log.info("%d files at %s: %s", count, place.identity, sentence)
    return Pending((), waiting.keys)


def require_readable(destination: Destination | BackupFolderView, keys: Iterable[str]) -> None:
    """Refuse to begin with what cannot be read to its end.

    :raises ArchivedFileError: files must be retrieved first.
    :raises RetrievalRunningError: they are being retrieved.
    """
    waiting = pending(destination, keys)
    if waiting.archived:
        raise ArchivedFileError(
            f"{_named(waiting.keys)} at {destination.identity} must be retrieved from its archive before it can be read, which "
            "takes hours. The operators ask for it and wait (retrieval_tier, retrieval_days); `raven-backup restore` and "
            "`verify` ask for it with --retrieve."
        )
    if waiting.running:
        raise RetrievalRunningError(
            f"{_named(waiting.running)} at {destination.identity} is being retrieved from its archive. Try again later."
        )


def _named(keys: tuple[str, ...]) -> str:
    more = f" and {len(keys) - _LISTED} more" if len(keys) > _LISTED else ""
    return ", ".join(keys[:_LISTED]) + more


def _plain(destination: Destination | BackupFolderView, keys: Iterable[str]) -> tuple[Destination, list[str]]:
    """The destination itself with its own keys, also where a single backup folder of it is looked at."""
    if isinstance(destination, BackupFolderView):
        return destination.inner, [destination.inner_key(key) for key in keys]
    return destination, list(keys)
