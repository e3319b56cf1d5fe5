"""Export with the options that make the body byte-identical to RavenDB's own backup file.

The endpoint's defaults leave out tombstones and artificial documents, so they are no backup. Whether the body is complete is
not said by its end: after a kill 7.1 and 6.2 end it cleanly, so the operation's state decides (see operations.py).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from raven_backup_provider.core.model import Compression
from raven_backup_provider.raven.operations import Operation
from raven_backup_provider.raven.transport import Node, Transport, database_path

# Every type a native backup holds, in both 5.4's and 7.1's vocabulary.
ALL_TYPES = (
    "DatabaseRecord",
    "Documents",
    "RevisionDocuments",
    "Indexes",
    "Identities",
    "Tombstones",
    "Conflicts",
    "CompareExchange",
    "CompareExchangeTombstones",
    "Attachments",
    "CounterGroups",
    "Subscriptions",
    "TimeSeries",
    "TimeSeriesDeletedRanges",
    "ReplicationHubCertificates",
)

_ALGORITHM = {Compression.ZSTD: "Zstd", Compression.GZIP: "Gzip"}


def export_body(
    types: Sequence[str] = ALL_TYPES,
    *,
    compression: Compression = Compression.ZSTD,
    max_read_ops_per_second: int | None = None,
) -> dict[str, Any]:
    """The request body of an export.

    :param max_read_ops_per_second: throttle, 7.1 only; older servers ignore it.
    :raises KeyError: RavenDB offers zstd and gzip only.
    """
    body: dict[str, Any] = {
        "OperateOnTypes": ",".join(types),
        "IncludeArtificial": True,
        "IncludeArchived": True,
        "CompressionAlgorithm": _ALGORITHM[compression],
    }
    if max_read_ops_per_second is not None:
        body["MaxReadOpsPerSecond"] = max_read_ops_per_second
    return body


@contextlib.contextmanager
def open_export(
    t: Transport,
    node: Node,
    database: str,
    operation: Operation,
    *,
    start_etag: int = 0,
    start_raft_index: int | None = None,
    compression: Compression = Compression.ZSTD,
    max_read_ops_per_second: int | None = None,
    chunk_size: int = 1 << 20,
    on_open: Callable[[Callable[[], None]], None] | None = None,
) -> Iterator[Iterator[bytes]]:
    """Start an export; inside the block, iterate over its body. Leaving early drops the connection, which cancels it.

    :param on_open: is handed what ends a read under way from another thread or a signal handler.
    :param start_etag: first etag to export (inclusive), 0 for a full.
    :param start_raft_index: first raft index of compare-exchange values and identities; None: all of them.
    """
    params = {
        "operationId": operation.id,
        "startEtag": start_etag or None,
        "startRaftIndex": start_raft_index,
    }
    body = export_body(compression=compression, max_read_ops_per_second=max_read_ops_per_second)
    path = database_path(database, "smuggler/export")
    with t.stream("POST", path, body, params, node=node, database=database) as response:
        if on_open is not None:
            on_open(response.abort)
        yield response.chunks(chunk_size)
