"""Which counters a backup knows, and whether it would bring deleted ones back (rule: core/counter_marks.py)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raven_backup_provider.core import counter_marks
from raven_backup_provider.core.counter_marks import CounterMarks, CounterSightings
from raven_backup_provider.core.counter_scan import CounterScan
from raven_backup_provider.core.export_reader import Item
from raven_backup_provider.core.manifest import CountersEntry, Manifest
from raven_backup_provider.core.model import DatabaseMark
from raven_backup_provider.jobs.accept_export import LostDeletionsError
from raven_backup_provider.raven import databases
from raven_backup_provider.raven.transport import Node, Transport

log = logging.getLogger(__name__)

NOT_ON_RECORD = (
    f"More than {counter_marks.MAX_DOCUMENTS:,} documents have counters, too many to keep on record. A document that is deleted "
    "and written again between two backups will get its earlier counters back when the incremental is restored, as with "
    "RavenDB's own backups. Where that matters, take full backups only."
)


def known_counters(points: Sequence[Manifest]) -> CounterMarks | None:
    """The counters on record after these points of one chain; None where they are not known."""
    try:
        return counter_marks.known_after(None if p.counters is None else p.counters.changes for p in points)
    except ValueError as error:
        log.warning("The record of counters in %s is damaged (%s).", points[0].file.name, error)
        return None


@dataclass(frozen=True, slots=True)
class CounterWatch:
    """How one export is looked through for counters.

    :param known: marks of the point before, empty for a full; None: not known, so nothing is looked for.
    :param sightings: what was found.
    :param scan: looks for the groups in a file that is not parsed; none where there are no counters.
    """

    known: CounterMarks | None
    sightings: CounterSightings
    scan: CounterScan | None

    @property
    def parse(self) -> bool:
        """The whole file must be parsed: its documents matter, too."""
        return bool(self.known)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the manifest must say."""
        return (NOT_ON_RECORD,) if self.sightings.too_many else ()

    def see(self, item: Item) -> None:
        """One item of a file that is parsed anyway."""
        if self.known is None:
            return
        if item.section == "CounterGroups":
            self.sightings.group(item.value)
        elif not self.known:
            return
        elif item.section == "Docs" and "@id" in item.metadata:
            metadata = item.value["@metadata"]
            self.sightings.document(str(metadata["@id"]), metadata.get("@counters") or ())
        elif item.section == "Tombstones" and item.value.get("Type") == "Document":
            self.sightings.tombstone(str(item.value["Key"]))

    def entry(self, previous: Manifest | None, counts: Mapping[str, int]) -> CountersEntry | None:
        """What to put on record of the accepted file; None where it is not known.

        :param counts: items per type, as the server counted them.
        :raises LostDeletionsError: counters would come back.
        """
        if self.known is None:
            return None
        if self.scan is not None:
            self.scan.finish()
        if self.sightings.too_many:
            log.warning("%s", NOT_ON_RECORD)
            return None
        if self.sightings.group_count < counts.get("Counters", 0):  # the first counters came while the export ran
            log.warning("Not all counters were found in the file; they go on record with the next full backup.")
            return None
        returning = self.sightings.returning()
        if returning and previous is not None:
            raise LostDeletionsError(
                f"{returning} documents with counters were deleted and written again since {previous.file.name}, and an "
                "incremental would bring their earlier counters back"
            )
        return CountersEntry(changes=counter_marks.encode(self.sightings.changes()))


def watch_counters(transport: Transport, node: Node, mark: DatabaseMark, known: CounterMarks | None) -> CounterWatch:
    """How to look through an export that begins now.

    :param known: as in :class:`CounterWatch`.
    """
    counts = databases.detailed_counts(transport, node, mark.name) if known is not None else {}
    sightings = CounterSightings(known or {})
    expected = (
        known is not None and counts.get("CountOfCounterEntries") != 0
    )  # left out of the answer: unknown, so look
    return CounterWatch(known, sightings, CounterScan(sightings.group) if expected else None)
