"""The last state without faults of each configuration file, kept where the inventories are: beside them, or in a Variable."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from raven_backup_provider.core.errors import InventoryError
from raven_backup_provider.core.names import database_folder
from raven_backup_provider.hooks.inventory_store import VARIABLE_PREFIX

_SUFFIX = ".config.last-good"
_KEY = "{name}__config__{file}"


def read_copy(path: Path, place: str) -> bytes | None:
    """The copy of a configuration file; None where there is none, or none can be read. Never raises.

    :param place: where the inventories are kept.
    """
    if (key := _key_of(path, place)) is not None:
        return _from_variable(key)
    copy = _file_of(path, place)
    try:
        return copy.read_bytes() if copy is not None and copy.is_file() else None
    except OSError:
        return None


def write_copy(path: Path, place: str, data: bytes) -> None:
    """Keep it, if it is not what is kept already; nothing where inventories have no place.

    :raises OSError: the folder cannot be written.
    :raises InventoryError: Airflow refuses the Variable.
    """
    if read_copy(path, place) == data:
        return
    if (key := _key_of(path, place)) is not None:
        _to_variable(key, data)
    elif (copy := _file_of(path, place)) is not None:
        _replace(copy, data)


def _replace(copy: Path, data: bytes) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{copy.name}.", suffix=".tmp", dir=copy.parent)
    with os.fdopen(handle, "wb") as file:
        os.fchmod(handle, 0o644)
        file.write(data)
        file.flush()
        os.fsync(handle)
    os.replace(name, copy)


def _from_variable(key: str) -> bytes | None:
    from airflow.sdk import Variable

    try:
        text = Variable.get(key, default=None)
    except Exception:  # the API server or the secrets backend is down: a parse must go on
        return None
    return None if text is None else str(text).encode()


def _to_variable(key: str, data: bytes) -> None:
    from airflow.sdk import Variable

    try:
        Variable.set(key, data.decode(), description="Last configuration without faults, kept by its status DAG")
    except Exception as error:
        raise InventoryError(f"Variable {key} cannot be written: {type(error).__name__}: {error}") from error


def _key_of(path: Path, place: str) -> str | None:
    name = place.strip().removeprefix(VARIABLE_PREFIX).strip() if place.strip().startswith(VARIABLE_PREFIX) else ""
    return _KEY.format(name=name, file=database_folder(path.name)) if name else None


def _file_of(path: Path, place: str) -> Path | None:
    return Path(place) / f"{database_folder(path.name)}{_SUFFIX}" if Path(place).is_absolute() else None
