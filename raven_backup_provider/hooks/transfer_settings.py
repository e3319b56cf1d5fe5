"""The settings of destinations on file servers, as an address or a Connection's extra write them: text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.hooks.connection_flag import flag
from raven_backup_provider.hooks.destination_address import DestinationAddress

_COMMON = ("bandwidth_mb", "create", "read_back", "timeout")
_MAX_TIMEOUT = 3600.0


def common_settings(address: DestinationAddress, *further: str) -> tuple[dict[str, Any], float | None]:
    """Settings that SFTP and FTP share, and the time-out in seconds (None: not given).

    :param further: what the caller reads itself.
    :raises ConfigurationError: an unknown setting, or one that is malformed.
    """
    given, where = address.settings, address.where
    known = sorted({*_COMMON, *further})
    if unknown := sorted(set(given) - set(known)):
        raise ConfigurationError(f"{where}: unknown setting {', '.join(unknown)}. Known: {', '.join(known)}.")
    settings: dict[str, Any] = {
        "create": flag(given.get("create"), default=False, where=f"{where}: create"),
        "read_back": flag(given.get("read_back"), default=True, where=f"{where}: read_back"),
        "bandwidth_mb": _number(given, "bandwidth_mb", where, "MB (10^6 bytes) per second"),
    }
    timeout = _number(given, "timeout", where, "seconds")
    if timeout is not None and timeout > _MAX_TIMEOUT:
        raise ConfigurationError(f"{where}: timeout must be at most {_MAX_TIMEOUT:.0f} seconds, not {timeout:.0f}.")
    return settings, timeout


def root_of(address: DestinationAddress) -> str:
    """The folder on the server: absolute, ``~`` or ``~/folder``.

    :raises ConfigurationError: there is none, or something stands where the bucket of other stores stands.
    """
    scheme = address.scheme or "sftp"
    if address.place:
        raise ConfigurationError(
            f"{address.where}: {address.place!r} stands where a bucket stands, and a file server has none. The host is in the "
            f"Connection; write {scheme}://{address.conn_id}@/{address.place}/... for a folder."
        )
    if not address.path:
        raise ConfigurationError(
            f"{address.where} names no folder: write {scheme}://{address.conn_id}@/absolute/folder, or "
            f"{scheme}://{address.conn_id}@/~/folder below the login's own, or put it as raven_backup.path into the "
            "Connection's extra."
        )
    return address.path if address.path.split("/")[0] == "~" else f"/{address.path}"


def _number(given: Mapping[str, str], name: str, where: str, unit: str) -> float | None:
    text = given.get(name)
    if text is None or not text.strip():
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ConfigurationError(f"{where}: {name} must be a number of {unit} above 0, not {text!r}.")
    return value
