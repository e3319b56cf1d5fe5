"""What a RavenDB server is told of a store so that it can read there by itself; whoever opened the destination knows it."""

from __future__ import annotations

from collections.abc import Callable

from raven_backup_provider.core.destination import ServerStore
from raven_backup_provider.core.errors import ConfigurationError


def handed_over(known: Callable[[], ServerStore] | None, identity: str) -> ServerStore:
    """The settings.

    :raises ConfigurationError: nobody said them.
    """
    if known is None:
        raise ConfigurationError(
            f"{identity} was opened without a Connection, so a RavenDB server cannot be told how to get there. Restore with "
            "mode 'stream'."
        )
    return known()
