"""What the Test button of a RavenDB Connection says when it works: who answered, whom it sees, what the licence allows."""

from __future__ import annotations

from raven_backup_provider.raven import databases
from raven_backup_provider.raven.licence import read_licence
from raven_backup_provider.raven.transport import Transport
from raven_backup_provider.raven.version import server_version

#: Flag -> what it allows, in the order shown; the flags that decide about backups.
BACKUP_FLAGS = {
    "HasSnapshotBackups": "snapshots",
    "HasEncryptedBackups": "encryption by the server",
    "HasPeriodicBackup": "scheduled tasks",
}


def describe_server(transport: Transport, database: str | None) -> str:
    """One or two sentences about the server.

    :param database: the Connection's default database, which must exist.
    :raises RavenBackupError: the server cannot be reached, refuses the certificate, or lacks the database.
    """
    node = transport.answering_node()
    version = server_version(transport, node)
    # A fresh server calls itself "?" until its first database makes it a cluster of one.
    tag = "a node without a tag yet" if node.tag in ("", "?") else f"node {node.tag}"
    parts = [f"RavenDB {version.full} (build {version.build}) answers as {tag} at {node.url}"]
    parts += [_who(transport), _licence(transport)]
    if database is not None:
        found = databases.describe(transport, database)
        databases.require_usable(found)
        parts.append(f"default database '{found.name}' is there")
    return "; ".join(parts) + "."


def _who(transport: Transport) -> str:
    if transport.settings.certificate is None:
        return "no client certificate, so the server must be unsecured"
    told = transport.get("/certificates/whoami", missing_ok=True) or {}
    name, clearance = told.get("Name"), told.get("SecurityClearance") or "unknown"
    permissions = told.get("Permissions") or {}
    rights = "".join(f", {access} on {database!r}" for database, access in sorted(permissions.items()))
    return f"certificate '{name}', clearance {clearance}{rights}"


def _licence(transport: Transport) -> str:
    licence = read_licence(transport)
    lacking = [what for flag, what in BACKUP_FLAGS.items() if not licence.allows(flag)]
    limits = f" (without {', '.join(lacking)})" if lacking else ""
    return f"licence {licence.status or licence.type}{limits}"
