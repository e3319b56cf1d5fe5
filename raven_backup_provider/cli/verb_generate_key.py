"""Make a new encryption key (also usable as a signing key) and show it once; nothing keeps a copy.

The key goes to stdout or into --output, everything else to stderr. Whoever loses it loses the backups made with it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex

from raven_backup_provider.cli.exit_codes import ExitCode
from raven_backup_provider.cli.output import print_json, say
from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.core.errors import ConfigurationError

HELP = "make an encryption key"
#: The Connection type that hooks/encryption_key.py declares.
CONN_TYPE = "ravendb_backup_key"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--export",
        nargs="?",
        const=CONN_TYPE,
        metavar="CONN_ID",
        help=f"print it as a shell line that defines an Airflow Connection (default id: {CONN_TYPE})",
    )
    how.add_argument("--output", metavar="FILE", help="write it into a new file that only you may read, not to stdout")


def run(arguments: argparse.Namespace) -> int:
    """Run the verb."""
    key = EncryptionKey.generate()
    if arguments.output:
        _write_new(arguments.output, key)
        if arguments.json:
            print_json({"key_id": key.key_id, "file": arguments.output})
    elif arguments.json:
        print_json({"key_id": key.key_id, "key": key.base64(), "connection": connection(key)})
    elif arguments.export:
        print(f"export {_variable(arguments.export)}={shlex.quote(json.dumps(connection(key)))}")
    else:
        print(key.base64())
    say(
        f"Key id {key.key_id} (manifests and logs name the key by it). Keep the key in at least two safe places, apart from the "
        "backups: without it nobody can restore them, and it is not shown again."
    )
    return ExitCode.OK


def connection(key: EncryptionKey) -> dict[str, str]:
    """The Connection that holds the key, as Airflow's JSON form."""
    return {"conn_type": CONN_TYPE, "password": key.base64()}


def _variable(conn_id: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", conn_id):
        raise ConfigurationError(
            f"A Connection defined in the environment needs an id of letters, digits and '_'; {conn_id!r} is not one."
        )
    return f"AIRFLOW_CONN_{conn_id.upper()}"


def _write_new(path: str, key: EncryptionKey) -> None:
    try:
        # O_EXCL: overwriting an older key would lose the backups made with it.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"The file {path} cannot be created: {error.strerror}. Nothing is ever overwritten."
        ) from None
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(key.base64() + "\n")
        file.flush()
        os.fsync(file.fileno())
