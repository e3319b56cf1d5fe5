"""The operator that copies backups from one destination to another."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from raven_backup_provider.core.errors import RavenBackupError
from raven_backup_provider.operators.arguments import given, names, open_destination, signing_key, switch
from raven_backup_provider.operators.assets import copy_alias, report_copy
from raven_backup_provider.operators.base import RavenDBJobOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from raven_backup_provider.core.destination import Destination
    from raven_backup_provider.jobs.copy_model import CopyResult

log = logging.getLogger(__name__)

#: Warnings in the XCom value; the log has all.
MOST_NAMED = 20


class RavenDBCopyBackupOperator(RavenDBJobOperator):
    """Bring restore points to one destination, each file from the first source that has it whole; needs no RavenDB server.

    Every file is compared with the SHA-256 of its manifest on the way. What is there already is not sent again, so a retry goes
    on where a killed try was; other content under the same name is never overwritten. For several destinations map it:
    ``RavenDBCopyBackupOperator.partial(...).expand(destination=["copy_1", "copy_2"])`` makes each copy a task of its own, so
    that one that is down does not spoil the others. Each success updates the asset of
    :func:`~raven_backup_provider.operators.assets.copy_asset`.

    The XCom value is a small dict: outcome (``copied``, or ``there`` if nothing had to be sent), database, destination, newest
    (key of the newest point copied), started (its ISO time), files, files_sent, bytes_sent, seconds, unread_sources, warnings.

    :param database: whose backups: its name in any letter case; empty means that the source is that database's own folder.
        (templated)
    :param destination: where to copy to: an absolute path, a ``file://`` URI, a Connection id or
        ``scheme://connection_id@place/path``. (templated)
    :param source: where to copy from: one destination or several, the preferred one first, as a list or separated by
        commas; those that are down, or damaged, are passed over. (templated)
    :param other_sources: destinations that are asked only where ``source`` cannot give what is selected: it is down, or has the
        point damaged, in an archive or not at all; one that cannot be opened is passed over. They count only with a
        ``selection`` that names a folder or file: their newest may be an old one. (templated)
    :param selection: ``newest``: the newest restore point with all it builds on; ``newest-chain``; ``all``; or the name or key
        of a backup folder or file, such as ``{{ ti.xcom_pull('backup')['key'] }}``. (templated)
    :param signing_key_conn_id: Connection whose password is the key manifests are signed with; with it, unsigned ones are
        not copied. (templated)
    :param check_hash: also read what is there already and compare its SHA-256. (templated)
    """

    template_fields: Sequence[str] = (
        "database",
        "destination",
        "source",
        "other_sources",
        "selection",
        "signing_key_conn_id",
        "check_hash",
    )

    def __init__(
        self,
        *,
        destination: str,
        source: str | Sequence[str],
        database: str | None = None,
        other_sources: str | Sequence[str] = (),
        selection: str = "newest",
        signing_key_conn_id: str | None = None,
        check_hash: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.database = database
        self.destination = destination
        self.source = source
        self.other_sources = other_sources
        self.selection = selection
        self.signing_key_conn_id = signing_key_conn_id
        self.check_hash = check_hash
        self.outlets = [*self.outlets, copy_alias()]

    def work(self, context: Context) -> dict[str, Any]:
        """Copy what is not there."""
        from raven_backup_provider.jobs.copy_backup import CopyRun
        from raven_backup_provider.jobs.copy_from_others import copy_from_others_too
        from raven_backup_provider.jobs.copy_model import CopyRequest
        from raven_backup_provider.jobs.copy_selection import CopySelection

        request = CopyRequest(
            database=given(self.database),
            selection=CopySelection.parse(given(self.selection) or "newest"),
            check_hash=switch(self.check_hash, "check_hash"),
            signing_key=signing_key(self.signing_key_conn_id),
        )
        sources = [open_destination(name, None) for name in names(self.source, "source")]
        target = open_destination(self.destination, None)
        run = CopyRun(cancel=self.cancellation.event)
        result = copy_from_others_too(request, sources, self._others, target, run)
        log.info("%s", result.summary())
        summary = self._summary(result)
        report_copy(context, str(self.destination).strip(), summary)
        return summary

    def _others(self) -> list[Destination]:
        """Those that can be opened: a wrong Connection of one destination must not stop the copy to another."""
        from airflow.sdk.exceptions import AirflowException

        opened = []
        for name in names(self.other_sources, "other_sources") if self.other_sources else ():
            try:
                opened.append(open_destination(name, None))
            except (RavenBackupError, AirflowException) as error:
                log.warning("%s is no source now: %s", name, error)
        return opened

    def _summary(self, result: CopyResult) -> dict[str, Any]:
        return {
            "outcome": "copied" if result.sent else "there",
            "database": result.database,
            "destination": result.destination,
            "newest": result.points[-1].key,
            "started": result.newest.started.isoformat(timespec="seconds"),
            "files": len(result.points),
            "files_sent": len(result.sent),
            "bytes_sent": result.bytes_sent,
            "seconds": round(result.seconds, 1),
            "unread_sources": list(result.unread),
            "warnings": list(result.warnings)[:MOST_NAMED],
        }
