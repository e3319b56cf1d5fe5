"""Which flag of ``GET /license/status`` a refused request lacks.

RavenDB 7.1 names the limit in the 402 answer (``LimitType``), older versions only say it in words.
"""

from __future__ import annotations

PERIODIC_BACKUP = "HasPeriodicBackup"
SNAPSHOT_BACKUPS = "HasSnapshotBackups"
ENCRYPTED_BACKUPS = "HasEncryptedBackups"
CLOUD_BACKUPS = "HasCloudBackups"
SERVER_WIDE_BACKUPS = "HasServerWideBackups"

# Looked for in the message, in this order: "encrypted" before "cloud" because RavenDB files both under CloudBackup,
# "server wide" before "periodic" because the former may mention the latter.
_BY_WORDS = (
    ("server wide backup", SERVER_WIDE_BACKUPS),
    ("server-wide backup", SERVER_WIDE_BACKUPS),
    ("snapshot backup", SNAPSHOT_BACKUPS),
    ("encrypted backup", ENCRYPTED_BACKUPS),
    ("backup to cloud", CLOUD_BACKUPS),
    ("cloud or ftp", CLOUD_BACKUPS),
    ("periodic backup", PERIODIC_BACKUP),
    ("encrypted database", "HasEncryption"),
    ("encryption", "HasEncryption"),
    ("default configuration for revisions", "CanSetupDefaultRevisionsConfiguration"),
    ("read-only certificate", "HasReadOnlyCertificates"),
    ("read only certificate", "HasReadOnlyCertificates"),
    ("subscriptions per cluster", "MaxNumberOfSubscriptionsPerCluster"),
    ("subscriptions per database", "MaxNumberOfSubscriptionsPerDatabase"),
)

# What the stream engine does without any licence.
_STREAM_HELPS = frozenset({PERIODIC_BACKUP, SNAPSHOT_BACKUPS, ENCRYPTED_BACKUPS, CLOUD_BACKUPS})

_BY_LIMIT = {
    "PeriodicBackup": PERIODIC_BACKUP,
    "SnapshotBackup": SNAPSHOT_BACKUPS,
    "CloudBackup": CLOUD_BACKUPS,
    "ServerWideBackups": SERVER_WIDE_BACKUPS,
}


def flag_of_refusal(message: str, limit_type: str) -> str:
    """The licence flag, or the server's own limit name (or "unknown") where no flag is known for it."""
    words = message.lower()
    for part, flag in _BY_WORDS:
        if part in words:
            return flag
    return _BY_LIMIT.get(limit_type) or limit_type or "unknown"


def remedy(flag: str) -> str:
    """What helps against a refusal for that flag."""
    if flag in _STREAM_HELPS:
        return f"A licence with {flag} is needed; logical backups with the stream engine, encrypted or not, need none."
    if flag == "MaxNumberOfSubscriptionsPerCluster":
        return (
            "RavenDB 6.2 and 7.1 without a licence refuse to restore subscriptions once they have run for a minute or two, "
            "however few there are: restart the server and restore at once, or restore in mode 'stream' with "
            "skip_subscriptions (--skip-subscriptions)."
        )
    return (
        f"A licence with more of {flag} is needed." if flag.startswith("Max") else f"A licence with {flag} is needed."
    )
