"""Decoded backups as RavenDB writes them, made by hand: raw bytes between the objects, ``Docs`` twice."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from typing import Any


def text(value: Any) -> bytes:
    """JSON as RavenDB writes it: compact, UTF-8 not escaped."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def document(identifier: str, collection: str | None = "Items", **fields: Any) -> bytes:
    """A document; `collection` None: in no collection."""
    metadata = {"@id": identifier, "@last-modified": "2026-11-22T02:28:50.6766007Z"}
    return text(fields | {"@metadata": ({"@collection": collection} if collection else {}) | metadata})


def attachment(content: bytes, name: str = "file.bin") -> bytes:
    """An attachment's object and its raw bytes."""
    mark = base64.b64encode(hashlib.blake2b(content, digest_size=32).digest()).decode()
    head = {
        "@metadata": {"@export-type": "Attachment"},
        "Hash": mark,
        "Size": len(content),
        "Tag": f"a/1|d|{name}|{mark}|x",
    }
    return text(head) + content


def segment(entries: int, rest: bytes = b"") -> bytes:
    """A time series segment's object and its raw bytes."""
    blob = bytes(8) + entries.to_bytes(2, "little") + b"\x01\x00" + rest
    head = {"@raven-data": {"DocId": "a/1", "Name": "HR", "Collection": "Items"}, "@raven-blob-size": len(blob)}
    return text(head) + blob


def section(name: str, items: Iterable[bytes]) -> bytes:
    """One section of the file."""
    return text(name) + b":[" + b",".join(items) + b"]"


def backup(sections: Iterable[tuple[str, Iterable[bytes]]] = (), build: int = 71028) -> bytes:
    """A whole decoded backup; empty sections are added so that it ends as real ones do."""
    parts = [b'"BuildVersion":%d' % build, b'"DatabaseRecord":{"DatabaseName":"shop","Settings":[]}']
    parts += [section(name, items) for name, items in sections]
    return b"{" + b",".join([*parts, section("ReplicationHubCertificates", [])]) + b"}"
