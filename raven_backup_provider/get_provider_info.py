"""What Airflow reads to know this provider: connection types with their forms, hooks, operators, triggers.

The 3.3 user interface builds connection forms from here alone, never from methods of the hooks. Free of Airflow imports
(see the package's ``__init__``). The meaning of the fields is owned by hooks/connection_settings.py and hooks/storage.py.
"""

from __future__ import annotations

from typing import Any

_PACKAGE = "raven_backup_provider"
_INTEGRATION = "RavenDB"


def get_provider_info() -> dict[str, Any]:
    """Return the provider's description for Airflow's provider manager."""
    return {
        "package-name": "raven-backup-provider",
        "name": "RavenDB Backup",
        "description": "Take, copy, prune, check and restore backups of RavenDB databases.",
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://docs.ravendb.net/server/ongoing-tasks/backup-overview",
                "tags": ["software"],
            }
        ],
        "hooks": [_modules("hooks.ravendb", "hooks.encryption_key", "hooks.storage", "hooks.storage_glacier")],
        "operators": [
            _modules(
                "operators.audit",
                "operators.backup",
                "operators.copy",
                "operators.discover",
                "operators.native_server_wide_tasks",
                "operators.native_tasks",
                "operators.restore",
                "operators.retention",
                "operators.verify",
                "operators.tombstone_guard",
            ),
        ],
        "sensors": [_modules("sensors.server_backup_made")],
        "triggers": [_modules("triggers.operation", "triggers.retrieval", "triggers.server_backup_made")],
        "connection-types": [_server(), _key(), _folder()],
    }


def _modules(*names: str) -> dict[str, Any]:
    return {"integration-name": _INTEGRATION, "python-modules": [f"{_PACKAGE}.{name}" for name in names]}


def _server() -> dict[str, Any]:
    return {
        "connection-type": "ravendb",
        "hook-class-name": f"{_PACKAGE}.hooks.ravendb.RavenDBHook",
        "hook-name": "RavenDB",
        "ui-field-behaviour": {
            # The port stays: Airflow 3.3.2's Test button refuses a stored Connection that has none.
            "hidden-fields": ["login", "extra"],
            "relabeling": {
                "host": "Node URLs",
                "port": "Port of node URLs without one",
                "schema": "Default database",
                "password": "Certificate password",
            },
            "placeholders": {
                "host": "https://a.shop.example.com, https://b.shop.example.com",
                "port": "443",
                "schema": "Database for operators that name none; may stay empty",
                "password": "Of the .pfx or of the encrypted private key; may stay empty",
            },
        },
        "conn-fields": {
            "client_certificate_path": _text(
                "Client certificate file",
                "Path on the workers (and triggerers) of a PEM file with certificate and private key, or of a .pfx. Leave "
                "empty for an unsecured server or if the PEM text is given below.",
            ),
            "client_private_key_path": _text(
                "Private key file", "Only if the PEM file above holds the certificate without its private key."
            ),
            "client_private_key_pem": _text(
                "Client certificate and private key (PEM text)",
                "The whole PEM file's text instead of a path: certificate and private key. Masked in logs and in the API.",
                format="multiline",
            ),
            "ca_path": _text("CA file", "Path of a PEM file with the CA to trust instead of the system's."),
            "ca_pem": _text("CA (PEM text)", "The same as text. Give one of both, or none.", format="multiline"),
            "verify": {
                "label": "Verify the server's certificate",
                "description": "Switch off only for a test server: anybody on the way could read and change backups.",
                "schema": {"type": ["boolean", "null"], "default": True},
            },
            "connect_timeout": _seconds("Connect time-out", "Seconds to connect. Default: 10."),
            "read_timeout": _seconds("Read time-out", "Seconds an ordinary answer may take. Default: 60."),
            "stall_timeout": _seconds(
                "Stall time-out",
                "Seconds a running backup or restore may stay without any progress. Default: 600. There is no limit for "
                "how long it may run while it moves.",
            ),
        },
    }


def _key() -> dict[str, Any]:
    return {
        "connection-type": "ravendb_backup_key",
        "hook-class-name": f"{_PACKAGE}.hooks.encryption_key.RavenDBBackupKeyHook",
        "hook-name": "RavenDB Backup Key",
        "ui-field-behaviour": {
            "hidden-fields": ["host", "schema", "port", "login", "extra"],
            "relabeling": {"password": "Key (base64 of 32 bytes)"},
            "placeholders": {"password": "Make one with: raven-backup generate-key. Keep a copy elsewhere."},
        },
    }


def _folder() -> dict[str, Any]:
    return {
        "connection-type": "ravendb_backup_folder",
        "hook-class-name": f"{_PACKAGE}.hooks.storage.RavenDBBackupFolderHook",
        "hook-name": "RavenDB Backup Folder",
        "ui-field-behaviour": {
            "hidden-fields": ["host", "schema", "port", "login", "password", "extra"],
            "relabeling": {},
            "placeholders": {},
        },
        "conn-fields": {
            "path": {
                "label": "Folder",
                "description": "Absolute path as every worker sees it: local disk or a mounted network path.",
                "schema": {"type": "string", "minLength": 1},
            },
            "server_path": _text(
                "The same folder as the RavenDB server sees it",
                "Needed for backups the server writes (engine 'server', snapshots) and restores it reads (mode 'server'). "
                "Empty: the server cannot see the folder.",
            ),
            "require_mount": {
                "label": "Must be mounted",
                "description": "Refuse the folder unless something is mounted there or above: below a mount point whose network "
                "path is not mounted, backups would fill the local disk unnoticed.",
                "schema": {"type": ["boolean", "null"], "default": False},
            },
        },
    }


def _text(label: str, description: str, **schema: str) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": ["string", "null"], **schema}}


def _seconds(label: str, description: str) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": ["number", "null"], "minimum": 0}}
