"""What a configuration would do, database by database, in words: for ``raven-backup config check`` and the status DAG."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from raven_backup_provider.core.inventory import DatabaseState, Inventory
from raven_backup_provider.core.model import BackupType
from raven_backup_provider.server_wide.config import ServerWideTask
from raven_backup_provider.server_wide.dag_text import retention_in_words
from raven_backup_provider.server_wide.plan import Plan, PlannedDag


@dataclass(frozen=True, slots=True)
class Row:
    """One database of one task.

    :param schedule: what runs by itself.
    :param encryption: what the file would be encrypted with.
    :param refused: why its backups would fail; None if nothing is known to keep them from running.
    """

    task: str
    database: str
    state: str
    dag_id: str
    schedule: str
    encryption: str
    refused: str | None = None


def rows(plan: Plan) -> list[Row]:
    """One row for each DAG."""
    return [_row(planned) for planned in plan.dags]


def table(plan: Plan) -> str:
    """The plan as text."""
    lines = [f"{'DATABASE':<30} {'STATE':<9} {'SCHEDULE':<34} {'ENCRYPTION':<34} DAG"]
    for row in rows(plan):
        note = f"  REFUSED: {row.refused}" if row.refused else ""
        lines.append(f"{row.database:<30} {row.state:<9} {row.schedule:<34} {row.encryption:<34} {row.dag_id}{note}")
    lines += [f"{one.database:<30} no DAG in {one.task}: {one.reason}" for one in plan.left_out]
    return "\n".join(lines)


def task_facts(task: ServerWideTask) -> dict[str, object]:
    """The task itself, by name and value."""
    primary, *copies = task.destinations
    return {
        "task": task.display_name,
        "server": task.ravendb_conn_id,
        "takes": f"{task.backup_type} by engine {task.engine_used}",
        "full": _frequency(task, task.full_backup_frequency),
        "incremental": _frequency(task, task.incremental_backup_frequency),
        "chain ends after": ", ".join(
            f"{limit:g} {unit}"
            for limit, unit in ((task.max_chain_length, "files"), (task.max_chain_age_days, "days"))
            if limit is not None
        ),
        "primary": primary,
        "copies": ", ".join(copies),
        "verified": f"{task.verify.where} ({task.verify.selection})" if task.verify.where != "none" else "nowhere",
        "retention": retention_in_words(task),
        "manifests signed with": task.signing_key_conn_id,
        "pool": task.pool,
    }


def servers(tasks: Sequence[ServerWideTask], inventories: Mapping[str, Inventory]) -> Iterator[str]:
    """One line for each server: how old what is known of it is."""
    for conn_id in sorted({task.ravendb_conn_id for task in tasks}):
        found = inventories.get(conn_id, Inventory())
        read = f"{found.read:%Y-%m-%d %H:%M:%S} UTC" if found.read else "never"
        yield f"{conn_id}: {len(found.entries)} databases, listed {read}{f' at {found.url}' if found.url else ''}"


def encryption_in_words(task: ServerWideTask, encrypted: bool) -> tuple[str, str | None]:
    """What the table of design section 11 makes of a database: (words, why it would be refused)."""
    from raven_backup_provider.jobs.encryption_rule import server_encryption

    key = f"key of {task.encryption_key_conn_id}" if task.encryption_key_conn_id else None
    if task.engine_used == "stream":
        if encrypted and key is None:
            if task.allow_plain_text:
                return "PLAIN TEXT of an encrypted database", None
            return "none", "the database is encrypted; give encryption_key_conn_id"
        return key or "none", None
    kind = BackupType.SNAPSHOT if task.backup_type == "snapshot" else BackupType.LOGICAL
    rule = server_encryption(database_encrypted=encrypted, backup_type=kind, key_given=key is not None)
    refused = None if rule.encrypted or not task.require_encryption else "encryption is required and not possible"
    if rule.database_key:
        return "the database's own key", refused
    words = (key or "none") if rule.provided_key else "none"
    return (f"{words} (the given key is not used)" if rule.warning else words), refused


def _row(planned: PlannedDag) -> Row:
    task, database = planned.task, planned.database
    words, refused = encryption_in_words(task, database.encrypted)
    schedule = " + ".join(task.frequencies) if planned.scheduled else _unscheduled(planned)
    return Row(task.name, database.name, str(database.state), planned.dag_id, schedule, words, refused)


def _unscheduled(planned: PlannedDag) -> str:
    days = (planned.task.retention_policy or {}).get("dropped_after_days")
    if planned.database.state is not DatabaseState.DROPPED or days is None:
        return "none (started by hand only)"
    return f"none; ALL BACKUPS ARE DELETED from {planned.database.since + timedelta(days=days):%Y-%m-%d} on"


def _frequency(task: ServerWideTask, cron: str | None) -> str | None:
    return f"{cron} {task.time_zone}" if cron is not None else None
