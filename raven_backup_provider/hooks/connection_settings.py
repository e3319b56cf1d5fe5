"""How an Airflow Connection of type ``ravendb`` becomes transport settings.

Owns the meaning of each field of the connection form (get_provider_info.py declares them) and of their JSON and URI forms:
``host`` holds one or several node URLs, everything else beside the certificate's password lives in ``extra``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.hooks.connection_flag import flag
from raven_backup_provider.raven.certificate import ClientCertificate, restore_line_breaks
from raven_backup_provider.raven.transport import TransportSettings, base_url

if TYPE_CHECKING:
    from airflow.sdk import Connection

CONN_TYPE = "ravendb"
#: Text fields of ``extra``; also what the connection form shows.
TEXT_FIELDS = ("client_certificate_path", "client_private_key_path", "client_private_key_pem", "ca_path", "ca_pem")
#: Seconds; an empty field means the transport's own default.
TIMEOUT_FIELDS = ("connect_timeout", "read_timeout", "stall_timeout")
OTHER_FIELDS = ("urls", "scheme", "verify")


def transport_settings(connection: Connection) -> TransportSettings:
    """Settings for the transport; reads certificate files, opens no connection.

    :raises ConfigurationError: a field is missing, unknown or malformed; names the Connection and the field.
    """
    extra = connection.extra_dejson
    where = f"Connection {connection.conn_id!r}"
    if not isinstance(extra, Mapping):
        raise ConfigurationError(f"{where}: its extra must be a JSON object.")
    _refuse_unknown(extra, where)
    fields: dict[str, Any] = {name: _text(extra.get(name)) for name in TEXT_FIELDS}
    certificate = _certificate(fields, connection.password or None, where)
    timeouts: dict[str, Any] = {
        name: _seconds(extra[name], name, where) for name in TIMEOUT_FIELDS if extra.get(name) not in (None, "")
    }
    urls = node_urls(connection, extra, where)
    verify = flag(extra.get("verify"), default=True, where=f"{where}: verify")
    try:
        return TransportSettings(
            urls, certificate, ca_file=fields["ca_path"], ca_pem=fields["ca_pem"], verify=verify, **timeouts
        )
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from None


def node_urls(connection: Connection, extra: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """The node URLs: ``host`` (or ``urls`` in extra), separated by commas, spaces or line breaks.

    A bare host name means ``https``, unless ``scheme`` in extra says ``http``: nobody gets an unencrypted connection by
    leaving something out.
    """
    given = extra.get("urls") or connection.host or ""
    parts = [str(part) for part in given] if isinstance(given, (list, tuple)) else re.split(r"[\s,;]+", str(given))
    urls = tuple(dict.fromkeys(_node_url(part, connection.port, extra, where) for part in parts if part.strip()))
    if not urls:
        raise ConfigurationError(
            f"{where} names no RavenDB server. Put one or several node URLs into its host field, separated by commas, "
            "such as https://a.example.com, https://b.example.com."
        )
    return urls


def private_key_texts(connection: Connection) -> list[str]:
    """What must never show in a log beside the Connection's own password: key texts as given and as used."""
    text = _text(connection.extra_dejson.get("client_private_key_pem"))
    return [text, restore_line_breaks(text)] if text else []


def _node_url(part: str, port: int | None, extra: Mapping[str, Any], where: str) -> str:
    text = part.strip().rstrip("/")
    if "://" not in text:
        text = f"{extra.get('scheme') or 'https'}://{text}"
    try:
        text = base_url(text)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}, field host: {error}") from None
    # The URI form of a Connection keeps the port apart: ravendb://https://a.example.com:8080/shop. Airflow 3.3's form sends 0
    # for an empty one when the Test button is pressed.
    return text if not port or urlsplit(text).port else f"{text}:{port}"


def _certificate(fields: Mapping[str, str | None], password: str | None, where: str) -> ClientCertificate | None:
    path, key_path, text = (
        fields["client_certificate_path"],
        fields["client_private_key_path"],
        fields["client_private_key_pem"],
    )
    if path and text:
        raise ConfigurationError(f"{where}: give the client certificate as a path or as PEM text, not both.")
    if key_path and not path:
        raise ConfigurationError(f"{where}: client_private_key_path needs client_certificate_path beside it.")
    try:
        if text:
            return ClientCertificate.from_pem_text(text, password)
        if path and key_path:
            return ClientCertificate.from_pem_text(_read(path) + "\n" + _read(key_path), password)
        if path and Path(path).suffix.lower() in (".pfx", ".p12"):
            return ClientCertificate.from_pfx(Path(path), password)
        return ClientCertificate.from_pem_file(path, password) if path else None
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from None


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not PEM text"
        raise ConfigurationError(f"The file {path} cannot be read on this machine: {reason}.") from None


def _refuse_unknown(extra: Mapping[str, Any], where: str) -> None:
    known = {*TEXT_FIELDS, *TIMEOUT_FIELDS, *OTHER_FIELDS}
    # A misspelt "verfiy": false or "ca_pth" would otherwise be ignored without a word.
    if unknown := sorted(set(extra) - known):
        raise ConfigurationError(
            f"{where}: unknown field {', '.join(unknown)} in extra. Known: {', '.join(sorted(known))}."
        )


def _text(value: Any) -> str | None:
    return str(value).strip() or None if value is not None else None


def _seconds(value: Any, name: str, where: str) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ConfigurationError(f"{where}: {name} must be a number of seconds above 0, not {json.dumps(value)}.")
    return seconds
