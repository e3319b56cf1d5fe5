"""RavenDB's server-wide backup tasks: one definition that every database gets, those of tomorrow too (ClusterAdmin).

In each database it appears as the task ``Server Wide Backup, <name>`` (periodic_tasks.py), where it is run and remembered; it is
changed here only. Two names that differ in letter case only are two tasks to RavenDB, whose tasks in the databases then collide:
so names are looked up ignoring case, and an update carries the stored task's id, without which RavenDB refuses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raven_backup_provider.core.errors import ConfigurationError, ServerError
from raven_backup_provider.raven.task_definition import SERVER_WIDE_PREFIX
from raven_backup_provider.raven.transport import Transport

_PATH = "/admin/configuration/server-wide"


def task_name_in_database(name: str) -> str:
    """What the task is called in each database."""
    return f"{SERVER_WIDE_PREFIX}, {name}"


def short_name(name: str) -> str:
    """The server-wide task's own name, also where it is given as databases show it."""
    text, prefix = name.strip(), f"{SERVER_WIDE_PREFIX},"
    return text[len(prefix) :].strip() if text.lower().startswith(prefix.lower()) else text


def read_configurations(t: Transport) -> list[dict[str, Any]]:
    """All of them as RavenDB keeps them, secrets included: never to be logged."""
    told = t.get(f"{_PATH}/backup") or {}
    listed = told.get("Results")
    if not isinstance(listed, list):
        raise ServerError(f"{t.settings.urls[0]} answers a list of server-wide backup tasks of unknown form.")
    return sorted((dict(one) for one in listed), key=lambda one: str(one.get("Name")))


def find_configuration(t: Transport, name: str) -> dict[str, Any] | None:
    """The one of that name, ignoring case; None if there is none.

    :raises ConfigurationError: several bear the name.
    """
    wanted = short_name(name).lower()
    found = [one for one in read_configurations(t) if str(one.get("Name") or "").lower() == wanted]
    if len(found) > 1:
        names = ", ".join(f"'{one.get('Name')}' (id {one.get('TaskId')})" for one in found)
        raise ConfigurationError(
            f"There are several server-wide backup tasks of that name: {names}. RavenDB gives each database one task for both, so "
            "neither is reliable. Delete all but one in the Studio."
        )
    return found[0] if found else None


def put_configuration(t: Transport, configuration: Mapping[str, Any]) -> str:
    """Create one (``TaskId`` 0), or update the one whose id it carries; the name it is stored under.

    :raises LicenceError: the licence lacks server-wide backups, or what the configuration asks for.
    """
    told = t.send("PUT", f"{_PATH}/backup", dict(configuration)) or {}
    return str(told.get("Name") or configuration.get("Name"))


def set_enabled(t: Transport, stored_name: str, enabled: bool) -> None:
    """Pause or resume it in every database.

    :param stored_name: exactly as RavenDB keeps it.
    """
    t.send("POST", f"{_PATH}/state", None, {"type": "Backup", "name": stored_name, "disable": not enabled})


def delete(t: Transport, stored_name: str) -> bool:
    """Delete it, and with it the task in every database; their files stay. False if it was gone already.

    :param stored_name: exactly as RavenDB keeps it.
    """
    try:
        t.send("DELETE", f"{_PATH}/task", None, {"type": "Backup", "name": stored_name})
    except ServerError as error:
        if "doesn't exist" in str(error) or "no server wide tasks" in str(error):
            return False
        raise
    return True
