"""Continuity: whether files form one chain. Owns the hash-chain and etag rules of design sections 6 and 7.

RavenDB itself checks none of this: it restores a chain with a missing middle file without a word (facts, section 1.2).
"""

from __future__ import annotations

from collections.abc import Sequence

from raven_backup_provider.core.manifest import Manifest
from raven_backup_provider.core.model import BackupKind, BackupType


def whole_part(manifests: Sequence[Manifest]) -> tuple[int, list[str]]:
    """How many of these manifests, in restore order, form one whole chain, and what ends it there.

    :returns: (length of the whole part, one sentence for each fault at its end; empty when all of them are whole).
    """
    if not manifests:
        return 0, []
    full = manifests[0]
    if full.kind is not BackupKind.FULL:
        return 0, [f"{full.file.name} is an incremental backup, but the full backup it builds on is not there."]
    for count in range(1, len(manifests)):
        problems = link_problems(manifests[count - 1], manifests[count], full)
        if problems:
            return count, problems
    return len(manifests), []


def link_problems(previous: Manifest, current: Manifest, full: Manifest) -> list[str]:
    """Why ``current`` does not continue ``previous`` in the chain of ``full``; empty if it does."""
    name = current.file.name
    if current.kind is BackupKind.FULL:
        return [f"{name} is a second full backup in the folder of {full.file.name}."]
    if full.type is BackupType.SNAPSHOT:
        return [f"{name} follows a snapshot; this package makes no chains on snapshots."]
    if current.previous is None:
        return [f"{name} does not say which file it continues."]
    if current.previous.name != previous.file.name:
        return [
            f"{name} continues {current.previous.name}, but the file before it is {previous.file.name}: a file is missing."
        ]
    if current.previous.sha256 != previous.file.sha256:
        return [f"{name} continues another {previous.file.name} than the one that is here: that file was exchanged."]
    if current.range.start_etag != previous.range.end_etag + 1:
        return [
            f"{name} starts at etag {current.range.start_etag}, but {previous.file.name} ends at {previous.range.end_etag}."
        ]
    if (current.database.id, current.database.node_tag) != (full.database.id, full.database.node_tag):
        return [f"{name} was taken from another database id or node than {full.file.name}."]
    if (current.encryption and current.encryption.key_id) != (full.encryption and full.encryption.key_id):
        return [
            f"{name} is encrypted with another key than {full.file.name}; RavenDB restores a chain with one key only."
        ]
    return []
