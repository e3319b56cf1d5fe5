"""Giving files and folders their rights, on file systems too that know none.

FAT, exFAT, NTFS and SMB without Unix extensions refuse a change of rights, or take it and forget it. That spoils no backup, but
whoever relies on "only the owner may read it" must be told: rights come from the mount's options there.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from pathlib import Path

from raven_backup_provider.destinations.folder_mounts import mount_of

log = logging.getLogger(__name__)

_KNOWS_NONE = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}
_told: set[str] = set()


def give_rights(path: Path, mode: int, fd: int | None = None) -> None:
    """Set ``mode`` whatever the umask, and warn once for each mount where it does not hold.

    :param fd: the open file, where there is one.
    """
    target = path if fd is None else fd
    try:
        os.chmod(target, mode)
    except OSError as error:
        if error.errno not in _KNOWS_NONE:
            raise
    found = stat.S_IMODE(os.stat(target).st_mode)
    if found & 0o077 & ~mode:
        _warn_once(path, found)


def _warn_once(path: Path, found: int) -> None:
    mount = mount_of(path)
    where = f"{mount.point} ({mount.kind})" if mount is not None else str(path.parent)
    if where not in _told:
        _told.add(where)
        log.warning(
            "The file system at %s keeps no rights of single files: backups there have mode %o, so other users of this machine "
            "may read them. Set the mount's options, such as umask=077 or file_mode=0600,dir_mode=0700.",
            where,
            found,
        )
