"""Ids of generated DAGs: stable, safe and never the same for two databases or tasks.

``server_wide_backup.<task>.<database>``. A plain name of a database stands for itself in lower case, because RavenDB ignores the
case; any other keeps what is safe of it, followed by two underscores and a hash of the whole. A plain name never holds two
underscores in a row, and a task's part holds no dot, so no two pairs meet. A task's name is made safe without a hash, because
people read it in every id; config_reader.py refuses two tasks that would become the same.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from raven_backup_provider.core.database_key import database_key

DATABASE_PREFIX = "server_wide_backup."
DISCOVERY_PREFIX = "server_wide_discovery."
STATUS_PREFIX = "server_wide_status."

_PLAIN = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
#: Characters; with the prefix an id stays below Airflow's 250.
_LONGEST_DATABASE = 130
_LONGEST_TASK = 60
_HASH = re.compile(r"__[0-9a-f]{16}\Z")


def database_dag_id(task_name: str, database: str) -> str:
    """Id of the DAG of one database in one task."""
    return f"{task_prefix(task_name)}{_part(database)}"


def task_prefix(task_name: str) -> str:
    """What all ids of a task's databases begin with, and nobody else's."""
    return f"{DATABASE_PREFIX}{task_part(task_name)}."


def task_part(task_name: str) -> str:
    """A task's name as part of an id; in letters that have no safe form the hash alone."""
    key = database_key(task_name)
    readable = re.sub(r"[^a-z0-9-]+", "_", key).strip("_-")
    return readable if key.isascii() and 0 < len(readable) <= _LONGEST_TASK else _hashed(key, _LONGEST_TASK)


def discovery_dag_ids(conn_ids: Iterable[str]) -> dict[str, str]:
    """Ids of the DAGs that list servers' databases, by Connection id."""
    return _distinct({conn_id: DISCOVERY_PREFIX + _part(conn_id) for conn_id in conn_ids})


def status_dag_ids(file_names: Iterable[str]) -> dict[str, str]:
    """Ids of the DAGs that show how configuration files stand, by name of the file."""
    return _distinct({name: STATUS_PREFIX + _part(name.removesuffix(".yaml")) for name in file_names})


def database_of(dag_id: str, task_name: str) -> str | None:
    """The database's name in lower case, read back from an id of that task; None where the id does not tell it."""
    prefix = task_prefix(task_name)
    rest = dag_id.removeprefix(prefix)
    if not dag_id.startswith(prefix) or _HASH.search(rest) or not _PLAIN.fullmatch(rest):
        return None
    return rest


def _distinct(ids: dict[str, str]) -> dict[str, str]:
    """The same, but that no two names have one id: ``a.yaml`` and ``A.yaml``, or Connections ``raven`` and ``Raven``.

    The last one in order keeps it, as if it stood alone; of the others the exact name is hashed.
    """
    keeps = {ids[name]: name for name in sorted(ids)}
    return {
        name: dag_id if keeps[dag_id] == name else f"{_HASH.sub('', dag_id)}__{_digest(name)}"
        for name, dag_id in ids.items()
    }


def _part(name: str) -> str:
    key = database_key(name)
    return key if len(key) <= _LONGEST_DATABASE and _PLAIN.fullmatch(key) else _hashed(key, _LONGEST_DATABASE)


def _hashed(key: str, longest: int) -> str:
    readable = re.sub(r"[^a-z0-9]+", "_", key).strip("_")[: longest - 20].strip("_")
    # Without the hash the id of "shop!" would be that of "shop".
    return f"{readable}__{_digest(key)}"


def _digest(name: str) -> str:
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
