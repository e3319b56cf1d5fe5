"""Which kinds of destination there are, and how each is opened. An adapter is imported only when it is asked for."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Kind:
    """One adapter.

    :param module: module with the class.
    :param factory: the class, called with the destination's settings.
    :param extra: the extra of this package that brings what it needs, None if nothing.
    """

    module: str
    factory: str
    extra: str | None = None


KINDS = {
    "azure": Kind("raven_backup_provider.destinations.azure", "AzureDestination", extra="azure"),
    "folder": Kind("raven_backup_provider.destinations.folder", "FolderDestination"),
    "glacier": Kind("raven_backup_provider.destinations.glacier", "GlacierDestination", extra="amazon"),
    "ftp": Kind("raven_backup_provider.destinations.ftp", "FtpDestination"),
    "sftp": Kind("raven_backup_provider.destinations.sftp", "SftpDestination", "sftp"),
    "s3": Kind("raven_backup_provider.destinations.s3", "S3Destination", extra="amazon"),
}


def open_destination(kind: str, /, *args: Any, **settings: Any) -> Destination:
    """Open a destination of a kind with its settings, such as ``open_destination("folder", root="/backups")``.

    :raises ConfigurationError: an unknown kind, a missing package (says what to install) or an unknown setting.
    """
    known = KINDS.get(kind)
    if known is None:
        raise ConfigurationError(f"There is no destination of kind {kind!r}; there is: {', '.join(sorted(KINDS))}.")
    try:
        factory = cast(Callable[..., Destination], getattr(import_module(known.module), known.factory))
    except ModuleNotFoundError as error:
        if known.extra is None:
            raise
        raise ConfigurationError(
            f"A destination of kind {kind!r} needs the package {error.name!r}: "
            f"pip install 'raven-backup-provider[{known.extra}]'."
        ) from error
    try:
        return factory(*args, **settings)
    except TypeError as error:
        raise ConfigurationError(f"A destination of kind {kind!r} does not take these settings: {error}.") from error


def open_uri(uri: str, **settings: Any) -> Destination:
    """Open ``/path``, ``folder:/path`` or ``file:///path``.

    :raises ConfigurationError: no destination is named that way.
    """
    if uri.startswith("/"):
        return open_destination("folder", uri, **settings)
    scheme, _, rest = uri.partition(":")
    if scheme == "folder" and rest.startswith("/"):
        return open_destination("folder", re.sub(r"^//(?=/)", "", rest), **settings)
    if scheme == "file" and urlsplit(uri).netloc in ("", "localhost"):
        return open_destination("folder", unquote(urlsplit(uri).path), **settings)
    raise ConfigurationError(
        f"{uri!r} names no destination. Give an absolute path, folder:/path or file:///path "
        f"(kinds: {', '.join(sorted(KINDS))})."
    )
