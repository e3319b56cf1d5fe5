"""The configuration that counts: what the files say, and for a task that a mistake has made unusable what they said before.

A slip of the pen in a file must not end the backups of a whole server. So the status DAG of each file keeps a copy of its last
state without faults beside the inventories, and a task that is wrong or cannot be read goes on as it stood there, until the file
is right again; the status DAG fails meanwhile. Where inventories are kept in Variables there is no copy.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from raven_backup_provider.core.names import database_folder
from raven_backup_provider.server_wide.config_errors import ConfigProblem
from raven_backup_provider.server_wide.config_reader import ReadConfig, find_configs, read_config, read_configs
from raven_backup_provider.server_wide.dag_ids import task_part

_SUFFIX = ".config.last-good"


def active_configs(folder: Path, place: str) -> tuple[ReadConfig, ...]:
    """All configuration files of a folder.

    :param place: where the inventories are kept.
    """
    configs = read_configs(find_configs(folder))
    taken = {task_part(task.name) for config in configs for task in config.tasks}
    return tuple(_with_last_good(config, place, taken) if config.problems else config for config in configs)


def keep_good(config: ReadConfig, place: str) -> None:
    """Keep a file without faults as the last good one; nothing where there is no folder for it.

    :raises OSError: the folder cannot be written.
    """
    copy = _copy_of(config.path, place)
    if copy is None or config.problems:
        return
    data = config.path.read_bytes()
    if copy.is_file() and copy.read_bytes() == data:
        return
    copy.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{copy.name}.", suffix=".tmp", dir=copy.parent)
    with os.fdopen(handle, "wb") as file:
        os.fchmod(handle, 0o644)
        file.write(data)
        file.flush()
        os.fsync(handle)
    os.replace(name, copy)


def _with_last_good(config: ReadConfig, place: str, taken: set[str]) -> ReadConfig:
    copy = _copy_of(config.path, place)
    before = read_config(copy) if copy is not None and copy.is_file() else None
    kept = [task for task in before.tasks if task_part(task.name) not in taken] if before is not None else []
    if not kept:
        return config
    taken |= {task_part(task.name) for task in kept}
    told = f"until this is mended, {_named(task.name for task in kept)} stays as it was in the last file without faults"
    return replace(
        config,
        tasks=(*config.tasks, *kept),
        problems=(*config.problems, ConfigProblem(str(config.path), "", told)),
    )


def _copy_of(path: Path, place: str) -> Path | None:
    return Path(place) / f"{database_folder(path.name)}{_SUFFIX}" if Path(place).is_absolute() else None


def _named(names: Iterable[str]) -> str:
    return ", ".join(f"task {name!r}" for name in names)
