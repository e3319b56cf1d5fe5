"""What a destination has of a restore point, and whether its chain may come there. Pure: listings and manifests in, words out.

What is there with other content is never overwritten, and nothing is added to a backup folder that would not restore then:
RavenDB replays every backup file of a folder in the order of names, whatever the files say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from raven_backup_provider.core.continuity import whole_part
from raven_backup_provider.core.found_files import FoundFile
from raven_backup_provider.core.names import restore_order_key
from raven_backup_provider.jobs.merged_chains import MergedPoint


class Standing(Enum):
    """What a destination has under a point's names."""

    ABSENT = "absent"
    #: The file is whole by its size, and its manifest is the same.
    THERE = "there"
    #: Only the manifest, the same one.
    MANIFEST_ONLY = "manifest only"
    #: The file with the right size, but without a manifest.
    UNPROVEN = "unproven"
    #: The same manifest, but a file of another size.
    WRONG_FILE = "wrong file"
    #: A manifest that cannot be used.
    BAD_MANIFEST = "bad manifest"
    #: A usable manifest that says something else.
    OTHER_MANIFEST = "other manifest"


@dataclass(frozen=True, slots=True)
class Comparison:
    """The standing of a point at one destination, with a sentence on what is wrong."""

    standing: Standing
    detail: str = ""


def compare(point: MergedPoint, found: FoundFile | None, *, manifests_read: bool = True) -> Comparison:
    """Compare by list, size and manifest.

    :param manifests_read: False where the destination may be listed but not read: then a manifest's size must do.
    """
    if found is None:
        return Comparison(Standing.ABSENT)
    expected, stored = point.manifest.file, found.stored
    if found.manifest_file is not None:
        fault = _manifest_fault(point, found) if manifests_read else _manifest_size_fault(point, found)
        if fault is not None:
            return fault
        if stored is None:
            return Comparison(Standing.MANIFEST_ONLY, f"{found.key} is missing although its manifest is there.")
        if stored.size == expected.size:
            return Comparison(Standing.THERE)
        return Comparison(
            Standing.WRONG_FILE, f"{found.key} has {stored.size} bytes, its manifest says {expected.size}."
        )
    if stored is None:
        return Comparison(Standing.ABSENT)
    if stored.size == expected.size:
        return Comparison(Standing.UNPROVEN, f"{found.key} has no manifest.")
    return Comparison(
        Standing.WRONG_FILE, f"{found.key} has no manifest and {stored.size} bytes instead of {expected.size}."
    )


def _manifest_fault(point: MergedPoint, found: FoundFile) -> Comparison | None:
    if found.manifest_sha256 == point.manifest_sha256:
        return None
    if found.manifest is None:
        return Comparison(Standing.BAD_MANIFEST, found.problem or f"The manifest of {found.key} cannot be used.")
    if found.manifest.file != point.manifest.file:
        theirs, ours = found.manifest.file, point.manifest.file
        return Comparison(
            Standing.OTHER_MANIFEST,
            f"{found.key} is another file there ({theirs.size} bytes, SHA-256 {theirs.sha256}) than elsewhere "
            f"({ours.size} bytes, SHA-256 {ours.sha256}).",
        )
    return Comparison(Standing.OTHER_MANIFEST, f"The manifest of {found.key} says something else there than elsewhere.")


def _manifest_size_fault(point: MergedPoint, found: FoundFile) -> Comparison | None:
    size = found.manifest_file.size if found.manifest_file is not None else 0
    if size == point.manifest_size:
        return None
    detail = f"The manifest of {found.key} has {size} bytes there and {point.manifest_size} elsewhere."
    return Comparison(Standing.OTHER_MANIFEST, detail)


def obstacles(points: Sequence[MergedPoint], there: Iterable[FoundFile]) -> list[str]:
    """Why a backup folder would not restore once these points are in it, with what is in it already; empty if it would.

    :param points: all that is to be there, in restore order.
    :param there: what the folder holds.
    """
    wanted = {point.name for point in points}
    others = [found for found in there if found.name not in wanted]
    manifests = [point.manifest for point in points]
    manifests += [f.manifest for f in others if f.manifest is not None and f.problem is None]
    manifests.sort(key=lambda m: restore_order_key(m.file.name))
    last = restore_order_key(points[-1].name) if points else ("", 0)
    strangers = [
        f"{f.key} is there, is not proven and lies between the restore points; RavenDB would restore it too. Move it away."
        for f in others
        if f.stored is not None and (f.manifest is None or f.problem) and restore_order_key(f.name) < last
    ]
    return whole_part(manifests)[1] + strangers
