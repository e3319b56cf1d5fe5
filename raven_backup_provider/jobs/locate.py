"""Where one database's chains are at a destination, and what to say when the place given is not that.

Owns the reading of "a source": the common root of all databases with a database named, one database's own folder, or one
single backup folder. RavenDB's restore, pointed at an upper folder, only says that there are no files; here the database
folders found are listed instead (design section 10).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from raven_backup_provider.core.catalog import Catalog, bears_name, find_database_folder, read_catalog
from raven_backup_provider.core.database_key import database_key
from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.errors import ConfigurationError, RestorePointNotFoundError
from raven_backup_provider.core.names import database_folder, parse_file_name, parse_folder_name
from raven_backup_provider.jobs.empty_place import unmounted_hint
from raven_backup_provider.jobs.folder_view import BackupFolderView

#: How many folder names a message lists.
_LISTED = 50


@dataclass(frozen=True, slots=True)
class Source:
    """One database's chains.

    :param destination: the destination, or a view of it whose keys have the usual depth.
    :param folder: key of the database's folder, "" where the root is that folder.
    :param database: take only chains of this database, None for all that are in the folder.
    :param chain: take only this backup folder (its name).
    """

    destination: Destination
    folder: str
    database: str | None = None
    chain: str | None = None

    def read(self, signing_key: bytes | None = None, *, packed: bool = True) -> Catalog:
        """The catalogue of this source; ``packed`` as for :func:`read_catalog`."""
        found = read_catalog(self.destination, self.folder, signing_key, packed=packed)
        found = replace(found, chains=tuple(c for c in found.chains if self.holds(c.folder)))
        own = self.own([c.folder for c in found.chains])
        strangers = tuple(c.folder for c in found.chains if c.folder not in own)
        return replace(found, chains=tuple(c for c in found.chains if c.folder in own), strangers=strangers)

    def own(self, folders: Collection[str]) -> Collection[str]:
        """Those of these backup folders (their keys) that are the database's own: that bear its name, or all where none does, as
        in a folder that somebody has renamed."""
        if not self.folder or self.chain is not None:
            return folders
        return {key for key in folders if bears_name(key, self.folder.rpartition("/")[2])} or folders

    def holds(self, folder: str) -> bool:
        """Whether the backup folder of that key is one of this source."""
        parent, _, name = folder.rpartition("/")
        if parent != self.folder or (self.chain is not None and name != self.chain):
            return False
        if self.database is None or self.folder:
            return True
        parsed = parse_folder_name(name)
        return parsed is not None and _same(parsed.database, self.database)


def locate(destination: Destination, database: str | None) -> Source:
    """Find the chains of ``database`` (its name, its folder, or ``<folder>/<backup folder>``).

    :param database: None only where the destination's root is itself one database's folder or one backup folder.
    :raises RestorePointNotFoundError: not there; the message lists the database folders that are.
    """
    if database and "/" in database:
        return _below(destination, database)
    if database:
        found = find_database_folder(destination, database)
        if found is not None:
            _require_backup_folders(destination, found)
            return Source(destination, found)
    return _root_itself(destination, database)


def database_folders(destination: Destination, prefix: str = "") -> list[str]:
    """Names of the direct sub-folders of ``prefix`` that hold backup folders."""
    start = f"{prefix}/" if prefix else ""
    return [name for name in destination.list_folders(prefix) if _backup_folders(destination, start + name)]


def databases_in_root(destination: Destination) -> list[str]:
    """Names, as backup folders spell them, of the databases whose backup folders lie directly in the root."""
    found = {
        database_key(name): name for f in _backup_folders(destination, "") if (name := _database_of(f)) is not None
    }
    return [found[name] for name in sorted(found)]


def _root_itself(destination: Destination, database: str | None) -> Source:
    names = databases_in_root(destination)
    if names:
        if database is None and len(names) > 1:
            raise RestorePointNotFoundError(
                f"{destination.identity} holds backups of several databases: {_listing(names)}. Name the database."
            )
        if database is None or any(_same(n, database) for n in names):
            return Source(destination, "", database)
        raise _not_found(destination, database, names)
    single = _single_backup_folder(destination)
    if single is not None:
        if database is not None and not _same(_database_of(single) or database, database):
            raise _not_found(destination, database, [_database_of(single) or ""])
        return Source(BackupFolderView(destination, single), "", None, single)
    raise _not_found(destination, database, database_folders(destination))


def _not_found(destination: Destination, database: str | None, there: list[str]) -> RestorePointNotFoundError:
    if not there:
        what = f"no backup of database '{database}'" if database else "no backup"
        return RestorePointNotFoundError(
            f"There is {what} at {destination.identity}, nor of any other database. Check the destination's path."
            + unmounted_hint(destination)
        )
    if database is None:
        return RestorePointNotFoundError(
            f"{destination.identity} is a common root, not one database's folder. Database folders there: {_listing(there)}. "
            "Name one of them as the source database."
        )
    return RestorePointNotFoundError(
        f"There is no backup of database '{database}' at {destination.identity}. Database folders there: {_listing(there)}."
    )


def _below(destination: Destination, path: str) -> Source:
    parts = path.strip("/").split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise ConfigurationError(f"The source {path!r} is not a folder below the destination's root.")
    if parse_folder_name(parts[-1]) is None:
        folder = "/".join(parts)
        _require_backup_folders(destination, folder)
        return Source(destination, folder)
    return Source(destination, "/".join(parts[:-1]), None, parts[-1])


def _require_backup_folders(destination: Destination, folder: str) -> None:
    if _backup_folders(destination, folder):
        return
    inner = database_folders(destination, folder)
    if inner:
        raise RestorePointNotFoundError(
            f"{folder} at {destination.identity} is a common root, not one database's folder. Database folders there: "
            f"{_listing(inner)}. Name one of them, as {folder}/{inner[0]}."
        )
    raise RestorePointNotFoundError(f"The folder {folder} at {destination.identity} holds no backup folder.")


def _backup_folders(destination: Destination, folder: str) -> list[str]:
    return [name for name in destination.list_folders(folder) if parse_folder_name(name) is not None]


def _database_of(backup_folder: str) -> str | None:
    parsed = parse_folder_name(backup_folder)
    return parsed.database if parsed else None


def _single_backup_folder(destination: Destination) -> str | None:
    """The root's own name where backup files lie in it directly."""
    if destination.list_folders(""):
        return None
    if not any(parse_file_name(f.key) is not None for f in destination.list_files("")):
        return None
    name = destination.identity.rstrip("/").rpartition("/")[2]
    return name if parse_folder_name(name) is not None else "0001-01-01-00-00-00.ravendb-unknown-A-backup"


def _same(in_folder_name: str, database: str) -> bool:
    # RavenDB compares database names ignoring case. Our folder names carry the safe part, its own carry the plain name.
    return database_key(in_folder_name) in (database_key(database), database_key(database_folder(database)))


def _listing(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def view_of(destination: Destination, folder: str) -> Destination | BackupFolderView:
    """The destination as keys below the backup folder ``folder`` (from an earlier :meth:`Source.read`) need it."""
    if "/" in folder:
        return destination
    return BackupFolderView(destination, folder) if _single_backup_folder(destination) is not None else destination
