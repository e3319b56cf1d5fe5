"""The configuration that counts: what the files say, and for a task that a mistake has made unusable what they said before.

A slip of the pen in a file must not end the backups of a whole server. So the status DAG of each file keeps a copy of its last
state without faults where the inventories are kept, and a task that is wrong or cannot be read goes on as it stood there, until
the file is right again; the status DAG fails meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from raven_backup_provider.server_wide.config_copy import read_copy, write_copy
from raven_backup_provider.server_wide.config_errors import ConfigProblem
from raven_backup_provider.server_wide.config_reader import ReadConfig, find_configs, parse_config, read_configs
from raven_backup_provider.server_wide.dag_ids import task_part


def active_configs(folder: Path, place: str) -> tuple[ReadConfig, ...]:
    """All configuration files of a folder.

    :param place: where the inventories are kept.
    """
    configs = read_configs(find_configs(folder))
    taken = {task_part(task.name) for config in configs for task in config.tasks}
    return tuple(_with_last_good(config, place, taken) if config.problems else config for config in configs)


def keep_good(config: ReadConfig, place: str) -> None:
    """Keep a file without faults as the last good one; nothing where there is no place for it.

    :raises OSError: the folder cannot be written.
    :raises InventoryError: Airflow refuses the Variable.
    """
    if not config.problems:
        write_copy(config.path, place, config.path.read_bytes())


def _with_last_good(config: ReadConfig, place: str, taken: set[str]) -> ReadConfig:
    copy = read_copy(config.path, place)
    before = parse_config(config.path, copy).tasks if copy is not None else ()
    kept = [task for task in before if task_part(task.name) not in taken]
    if not kept:
        return config
    taken |= {task_part(task.name) for task in kept}
    told = f"until this is mended, {_named(task.name for task in kept)} stays as it was in the last file without faults"
    return replace(
        config,
        tasks=(*config.tasks, *kept),
        problems=(*config.problems, ConfigProblem(str(config.path), "", told)),
    )


def _named(names: Iterable[str]) -> str:
    return ", ".join(f"task {name!r}" for name in names)
