"""Where the two sides of a copy are: the sources that can be read now, and the place at the target."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NoReturn

from raven_backup_provider.core.catalog import find_database_folder
from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.errors import (
    ConfigurationError,
    DestinationError,
    RavenBackupError,
    RestorePointNotFoundError,
)
from raven_backup_provider.core.names import database_folder, manifest_name
from raven_backup_provider.jobs.copy_model import CopyRequest
from raven_backup_provider.jobs.copy_selection import Chosen, Which, choose, folders_to_read, left_out
from raven_backup_provider.jobs.locate import Source, locate
from raven_backup_provider.jobs.merged_chains import Holder, merge

log = logging.getLogger(__name__)


def place_for(target: Destination, database: str) -> Source:
    """Where the chains of a database are, or would be, at a destination that is written to."""
    try:
        return locate(target, database)
    except RestorePointNotFoundError:
        return Source(target, find_database_folder(target, database) or database_folder(database))


def read_sources(
    request: CopyRequest, sources: Sequence[Destination], target: Destination
) -> tuple[list[Holder], tuple[str, ...]]:
    """The sources that can be read, and the identities of the others."""
    usable = {source.identity: source for source in sources if source.identity != target.identity}
    if not usable:
        raise ConfigurationError(f"{target.identity} cannot be copied to itself: name another source.")
    holders: list[Holder] = []
    failures: dict[str, RavenBackupError] = {}
    for source in usable.values():
        try:
            found = locate(source, request.database)
            only = folders_to_read(found, request.selection)
            holders.append(Holder.read(found, request.signing_key, only, may_use_pack=not request.check_hash))
        except (DestinationError, RestorePointNotFoundError) as error:
            log.warning("%s is no source now: %s", source.identity, error)
            failures[source.identity] = error
    if not holders:
        _raise_all(list(failures.values()))
    return holders, tuple(identity for identity, why in failures.items() if isinstance(why, DestinationError))


def _raise_all(failures: Sequence[RavenBackupError]) -> NoReturn:
    if len(failures) == 1:
        raise failures[0]
    told = " ".join(str(error) for error in failures)
    if any(isinstance(error, DestinationError) for error in failures):
        raise DestinationError(f"No source could be read. {told}")
    raise RestorePointNotFoundError(f"No source has anything to copy. {told}")


def choose_from(request: CopyRequest, holders: Sequence[Holder]) -> tuple[list[Chosen], tuple[str, ...]]:
    """What to copy, and what of a selection of everything cannot be."""
    selection, place = request.selection, ", ".join(holder.identity for holder in holders)
    chains = merge(holders)
    try:
        return choose(chains, selection, place), left_out(chains) if selection.which is Which.ALL else ()
    except RestorePointNotFoundError:
        # A listing may lag behind: a point that was made a moment ago is not "not there".
        if selection.which is Which.NAMED and selection.chain and selection.file:
            for holder in holders:
                key = manifest_name(holder.key(selection.chain, selection.file))
                if holder.source.destination.stat(key) is not None:
                    raise DestinationError(f"{holder.identity} does not list {key} yet. Try again.") from None
        raise
