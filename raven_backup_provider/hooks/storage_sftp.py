"""SFTP: a Connection of type ``sftp`` or ``ssh`` and an address become a destination.

Airflow's hook makes the connections, with all its settings (key_file, private_key, host_key, proxy...). Three of its defaults do
not fit a backup and are set here: compression (backups are compressed already; it halves the speed and more), no time-out, and
repeating a refused login.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.ssh.hooks.ssh import SSHHook
from airflow.sdk.exceptions import AirflowException

from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.destinations.registry import open_destination
from raven_backup_provider.destinations.sftp import TIMEOUT
from raven_backup_provider.destinations.sftp_ciphers import CipherChoice
from raven_backup_provider.destinations.sftp_connection import SshServer
from raven_backup_provider.hooks.connection_flag import flag
from raven_backup_provider.hooks.transfer_settings import common_settings, root_of

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from raven_backup_provider.core.destination import Destination
    from raven_backup_provider.hooks.destination_address import DestinationAddress


def open_store(address: DestinationAddress, connection: Connection) -> Destination:
    """The destination, not yet connected.

    :raises ConfigurationError: the address or the Connection cannot be right.
    """
    settings, given_timeout = common_settings(address, "file_mode")
    timeout = given_timeout or TIMEOUT
    root = root_of(address)
    hook = _hook(connection, timeout)
    server = SshServer(hook.remote_host, hook.port or 22, hook.username or "")
    if "file_mode" in address.settings:
        settings["file_mode"] = _file_mode(address)
    return open_destination("sftp", _connector(hook), server, root, timeout=timeout, **settings)


def _hook(connection: Connection, timeout: float) -> SSHHook:
    where = f"Connection {connection.conn_id!r}"
    extra = connection.extra_dejson
    try:
        # SSHHook is what SFTPHook connects with; it reads Connections of both types.
        hook = SSHHook(ssh_conn_id=connection.conn_id)
        unchecked = extra.get("no_host_key_check", extra.get("ignore_hostkey_verification"))
        compress = extra.get("compress")
    except (AirflowException, ValueError, TypeError, OSError) as error:
        raise ConfigurationError(f"{where} cannot be used for SFTP: {error}") from error
    # Said here, since older versions of Airflow's provider checked no host keys unless told to.
    hook.no_host_key_check = flag(unchecked, default=False, where=f"{where}: no_host_key_check")
    hook.compress = flag(compress, default=False, where=f"{where}: compress")
    hook.conn_retry_attempts = 1
    hook.conn_timeout = hook.conn_timeout or round(timeout) or 1
    hook.auth_timeout = hook.auth_timeout or round(timeout) or 1
    hook.banner_timeout = min(hook.banner_timeout, timeout)
    return hook


def _connector(hook: SSHHook) -> Callable[[], Any]:
    choice = CipherChoice()

    def attempt(leave_out: Mapping[str, Sequence[str]] | None) -> Any:
        # A hook keeps one client and one proxy process; each connection of ours gets its own, from any thread.
        fresh = copy.copy(hook)
        fresh.client = None
        fresh.__dict__.pop("host_proxy", None)
        if leave_out is not None:
            fresh.disabled_algorithms = dict(leave_out)
        return fresh.get_conn()

    chosen = hook.disabled_algorithms or hook.ciphers  # by the Connection: it knows why
    return lambda: attempt(None) if chosen else choice.connect(attempt)


def _file_mode(address: DestinationAddress) -> int:
    text = address.settings["file_mode"]
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0o400 <= mode <= 0o777 or mode & 0o600 != 0o600:
        raise ConfigurationError(
            f"{address.where}: file_mode must be rights as chmod writes them, such as 640, with the owner's right to read and "
            f"write; not {text!r}."
        )
    return mode
