"""What to say of a destination that holds nothing: the backups may be on a network path that is not mounted."""

from __future__ import annotations

from raven_backup_provider.core.destination import Destination, MayBeUnmounted
from raven_backup_provider.core.errors import DestinationError


def unmounted_hint(destination: Destination) -> str:
    """A sentence to put behind "there is no backup", with a space before it; empty where there is nothing to say."""
    if not isinstance(destination, MayBeUnmounted):
        return ""
    try:
        hint = destination.unmounted_hint()
    except DestinationError:
        return ""
    return f" {hint}" if hint else ""
