"""What a generated DAG tells an operator: what it guards, where the files are, how to restore. The same text on every parse."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from raven_backup_provider.core.inventory import DatabaseState
from raven_backup_provider.core.names import database_folder
from raven_backup_provider.server_wide.config import ServerWideTask
from raven_backup_provider.server_wide.plan import PlannedDag

_STATES = {
    DatabaseState.ONLINE: "",
    DatabaseState.DISABLED: (
        "**The database is disabled on the server.** Its backups fail until somebody enables it in the Studio; the points below "
        "stay as they are."
    ),
    DatabaseState.DROPPED: (
        "**The database is not on the server any more.** Nothing is scheduled. To restore it, trigger this DAG and fill in "
        "*Restore as*. The DAG goes once no backup of the database is left."
    ),
    DatabaseState.GONE: "**Neither the database nor a backup of it is left.**",
}


def database_doc(planned: PlannedDag) -> str:
    """The Markdown of one database's DAG."""
    task, name = planned.task, planned.database.name
    parts = [
        f"### {_plain(task.display_name)}: {_plain(name)}",
        _STATES[planned.database.state],
        f"Guards the database {_code(name)} of the server behind the Connection {_code(task.ravendb_conn_id)}.",
        _bullets(schedule_in_words(task)),
        "#### Where the files are",
        _bullets(_places(task, name)),
        "#### Back up now\n\nTrigger this DAG: it backs up this database only. *automatic* takes what the schedule calls for."
        if planned.database.state.on_server
        else "",
        "#### Restore",
        _how_to_restore(task, name),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def schedule_in_words(task: ServerWideTask) -> list[str]:
    """When what is taken, and what becomes of it; one line each."""
    what = "snapshot" if task.backup_type == "snapshot" else "full"
    lines = [f"{what}: {_code(task.full_backup_frequency)} {task.time_zone}"] if task.full_backup_frequency else []
    if task.incremental_backup_frequency:
        lines.append(
            f"incremental: {_code(task.incremental_backup_frequency)} {task.time_zone}; a full where one is due"
        )
    limits = [
        f"{limit:g} {unit}"
        for limit, unit in ((task.max_chain_length, "files"), (task.max_chain_age_days, "days"))
        if limit is not None
    ]
    if limits:
        lines.append(f"a chain ends after {' or '.join(limits)}")
    if task.disabled:
        lines.append("the task is disabled in the configuration: nothing runs by itself")
    key = task.encryption_key_conn_id
    required = ", and nothing unencrypted is written" if task.require_encryption else ""
    lines.append(
        f"encrypted with the key of the Connection {_code(key)}{required}" if key else f"no encryption key{required}"
    )
    lines.append(f"retention: {retention_in_words(task)}")
    return lines


def retention_in_words(task: ServerWideTask) -> str:
    """The policy in one line."""
    policy = task.retention_policy
    if policy is None:
        return "nothing is ever deleted"
    told = [f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}" for key, value in policy.items()]
    return ", ".join(told)


def _places(task: ServerWideTask, name: str) -> list[str]:
    folder = database_folder(name)
    titles = ["primary", *["copy"] * (len(task.destinations) - 1)]
    return [
        f"{title}: {_code(place)}, folder {_code(folder)}"
        for title, place in zip(titles, task.destinations, strict=True)
    ]


def _how_to_restore(task: ServerWideTask, name: str) -> str:
    command = [
        *("raven-backup", "restore", "--database", name, "--destination", task.destinations[0]),
        *("--conn", task.ravendb_conn_id, "--target", f"{name}-restored"),
        *(("--key-conn", task.encryption_key_conn_id) if task.encryption_key_conn_id else ()),
        *(("--signing-key-conn", task.signing_key_conn_id) if task.signing_key_conn_id else ()),
    ]
    return (
        f"With the DAG `ravendb_restore`: database {_code(name)}, destination {_code(task.destinations[0])}"
        + (f", encryption key {_code(task.encryption_key_conn_id)}" if task.encryption_key_conn_id else "")
        + ". On the command line:\n\n"
        + f"    {shlex.join(command)}\n\n"
        + "An existing database is never touched: a restore makes a new one. Without any of this: RavenDB Studio, *New database "
        "from backup*, and one of the backup folders above."
    )


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _code(text: object) -> str:
    return f"`{str(text).replace('`', chr(39))}`"


def _plain(text: str) -> str:
    """Text that Markdown shows as it stands."""
    return "".join(f"\\{char}" if char in "\\`*_{}[]<>#|~" else char for char in text)
