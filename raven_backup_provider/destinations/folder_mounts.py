"""What lies under a backup folder: which file system is mounted there, and whether the one that should be there is.

A mount point that is not mounted is an ordinary folder of the local disk: backups would go there unnoticed, and the chains on the
network path would seem to be gone. What should be mounted is told by /etc/fstab, or by the destination's ``require_mount``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FSTAB = Path("/etc/fstab")
MOUNTS = Path("/proc/self/mountinfo")


@dataclass(frozen=True, slots=True)
class Mount:
    """One mounted file system.

    :param options: of the mount and of the file system.
    """

    point: str
    kind: str
    source: str
    options: frozenset[str]


def mounts() -> list[Mount]:
    """What is mounted, in the order it was; empty where the system does not tell."""
    try:
        lines = MOUNTS.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        own, _, shared = line.partition(" - ")
        fields, rest = own.split(" "), shared.split(" ")
        if len(fields) >= 6 and len(rest) >= 3:
            options = frozenset(fields[5].split(",") + rest[2].split(","))
            found.append(Mount(_plain(fields[4]), rest[0], _plain(rest[1]), options))
    return found


def mount_of(path: Path) -> Mount | None:
    """The file system that an existing absolute path lies on; None if that cannot be told."""
    on_the_way = [mount for mount in mounts() if _is_below(path, mount.point)]
    return max(reversed(on_the_way), key=lambda mount: len(mount.point), default=None)


def missing_mount(path: Path, *, required: bool) -> str | None:
    """A sentence saying what is not mounted, None if all is well.

    :param required: the path must not lie on the file system of ``/``.
    """
    expected = [point for point in _fstab_points() if _is_below(path, point)]
    if not expected and not required:
        return None
    here = mounts()
    if not here:
        return None
    there = {mount.point for mount in here}
    for point in expected:
        if point not in there:
            return f"/etc/fstab mounts something at {point}, which is not mounted now: `mount {point}`."
    on = mount_of(path)
    if required and (on is None or on.point == "/"):
        return "nothing is mounted there or above, and the destination's require_mount asks for that: mount the network path."
    return None


def unmounted_hint(root: Path) -> str | None:
    """What to look at where a folder holds no backups; None if anything is in it, or anything but ``/`` is mounted there."""
    try:
        if any(not entry.name.startswith(".") for entry in root.iterdir()):
            return None
    except OSError:
        return None
    on = mount_of(root)
    if on is not None and on.point != "/":
        return None
    return (
        f"The folder {root} is empty, and nothing is mounted there: is the share mounted? If it is a network path, set "
        "require_mount in its Connection, and an unmounted one is an error instead of an empty place."
    )


def lock_warning(path: Path) -> str | None:
    """Why a file lock on this path may not keep other machines out; None if nothing speaks against it."""
    mount = mount_of(path)
    if mount is None:
        return None
    local = {"nolock", "local_lock=all", "local_lock=flock", "nobrl"} & mount.options
    if local:
        return f"{mount.point} is mounted with {', '.join(sorted(local))}"
    if mount.kind.startswith("fuse.") or mount.kind == "fuse":
        return f"{mount.point} is a FUSE mount ({mount.kind}), most of which keep locks to themselves"
    return None


def _fstab_points() -> list[str]:
    try:
        lines = FSTAB.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return []
    fields = [line.split() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    points = (_plain(f[1]).rstrip("/") for f in fields if len(f) >= 3 and f[2] != "swap")
    return [point for point in points if point.startswith("/")]


def _is_below(path: Path, point: str) -> bool:
    return point == "/" or str(path) == point or str(path).startswith(point.rstrip("/") + "/")


def _plain(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), text)
