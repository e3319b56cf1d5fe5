"""STAND-IN: the signature of the operator that copies backups to another destination, until that operator is here.

It copies the files of the newest chain that are missing, data before manifest, and nothing more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from raven_backup_provider.operators.arguments import open_destination, signing_key
from raven_backup_provider.operators.base import RavenDBJobOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class RavenDBCopyBackupOperator(RavenDBJobOperator):
    """Copy the newest chain of a database from one destination to another."""

    template_fields: Sequence[str] = ("database", "destination", "source", "selection", "signing_key_conn_id")

    def __init__(
        self,
        *,
        database: str,
        destination: str,
        source: str,
        selection: str = "newest",
        signing_key_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.database = database
        self.destination = destination
        self.source = source
        self.selection = selection
        self.signing_key_conn_id = signing_key_conn_id

    def work(self, context: Context) -> dict[str, Any]:
        """Copy what is missing."""
        from raven_backup_provider.core.catalog import find_database_folder, read_catalog

        source, target = open_destination(self.source, None), open_destination(self.destination, None)
        folder = find_database_folder(source, self.database) or self.database
        chain = read_catalog(source, folder, signing_key(self.signing_key_conn_id)).chains[-1]
        sent = 0
        for point in chain.points:
            if target.stat(point.manifest_key) is None:
                with source.open_read(point.key) as read, target.open_write(point.key) as write:
                    while block := read.read(1024 * 1024):
                        write.write(block)
                    write.commit(point.manifest.file.digest)
                with source.open_read(point.manifest_key) as read:
                    target.put(point.manifest_key, read.read())
                sent += 1
        return {"database": self.database, "destination": target.identity, "files_sent": sent}
