"""Whether worker and server see the same folder; a wrong mapping would write backups where nobody finds them.

Proof: the worker makes an empty folder of a random name, and the server is asked for restore points in it. It answers "no
backup files" for a folder it sees and "doesn't exist" for one it does not. Asking needs Operator; without it only what the
server says about the path itself is checked, and the file is looked for after the backup.
"""

from __future__ import annotations

import os
import secrets

from raven_backup_provider.core.destination import Destination, LocallyReadable
from raven_backup_provider.core.errors import (
    CertificateError,
    ClearanceError,
    ConfigurationError,
    DestinationAccessError,
    RavenBackupError,
)
from raven_backup_provider.jobs.server_path import server_folder
from raven_backup_provider.raven import restores, server_backup
from raven_backup_provider.raven.transport import Node, Transport

_PROBE_SECONDS = 30.0


def shared_folder_problems(
    transport: Transport,
    node: Node,
    database: str,
    destination: Destination,
    expected_size: int | None,
    problems: list[str],
    warnings: list[str],
) -> None:
    """Add what keeps the server from writing where the worker reads; raises ConfigurationError without a mapping."""
    path = server_folder(destination, "")
    told = server_backup.data_directory(transport, node, database, path)
    if told.get("Error"):
        problems.append(
            f"the server on node {node.tag} cannot write to {path} (the server_path of {destination.identity}): {told['Error']}. "
            "Check server_path and give RavenDB's account write access."
        )
        return
    free = told.get("FreeSpaceInBytes")
    needed = expected_size or 0
    if isinstance(free, int) and free < needed:
        problems.append(f"the server's side of {path} has {free:,} bytes free, and about {needed:,} are needed.")
    seen = _server_sees(transport, node, destination)
    if seen is None:
        warnings.append("the mapping of server_path could not be checked beforehand: that needs clearance Operator.")
    elif not seen:
        problems.append(
            f"the server on node {node.tag} sees another folder under {path} than the worker under {destination.identity}: a "
            "folder that the worker made there is not visible to it. Correct server_path, or mount the same share on both."
        )


def _server_sees(transport: Transport, node: Node, destination: Destination) -> bool | None:
    if not isinstance(destination, LocallyReadable):
        raise ConfigurationError(
            f"{destination.identity} has no path on the worker; the engine 'server' needs a folder."
        )
    name = f"raven-backup-probe-{secrets.token_hex(8)}"
    local = destination.local_path(name)
    try:
        os.mkdir(local)
        os.chmod(local, 0o755)  # noqa: S103 - the server's account must be able to look into the empty folder
    except OSError as error:
        raise DestinationAccessError(
            f"The worker cannot make a folder in {destination.identity}: {error.strerror}."
        ) from error
    try:
        restores.restore_points(transport, node, server_folder(destination, name), timeout=_PROBE_SECONDS)
    except (ClearanceError, CertificateError):
        return None
    except RavenBackupError as error:
        if error.retryable:
            raise
        return "doesn't exist" not in str(error)
    finally:
        os.rmdir(local)
    return True
