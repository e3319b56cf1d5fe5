"""RavenDB's error answers as exceptions that say what is wrong with which database and what to do.

The table follows the answers of RavenDB 5.4, 6.2 and 7.1: the same condition has another status code on nearly every
route (a missing database is 500, 404 or 503), so the .NET exception type decides first, then the status code.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from raven_backup_provider.core import errors
from raven_backup_provider.raven.licence_flags import flag_of_refusal, remedy
from raven_backup_provider.raven.redaction import redact

_LONGEST_MESSAGE = 600
_RECORD_NOT_CHANGED = "Failed to update database record"
_INNER = re.compile(r"---> [\w.`+]+: ([^\n]+)")
_STORED_VALUES = "previousValue"


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """An HTTP answer that is not a success.

    :param status: HTTP status code.
    :param body: the body as received, still encoded as ``content_encoding`` says.
    :param method: HTTP method of the request.
    :param server: base URL that answered.
    :param path: path of the request.
    :param database: the database it was about, None for a server-wide request.
    :param secrets: values that must not appear in a message.
    """

    status: int
    body: bytes
    method: str
    server: str
    path: str
    database: str | None = None
    content_type: str = ""
    content_encoding: str = ""
    location: str = ""
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServerComplaint:
    """What RavenDB wrote into an error body."""

    type: str
    message: str
    limit_type: str = ""

    @property
    def name(self) -> str:
        """The exception's class name without its namespace."""
        return self.type.rsplit(".", 1)[-1]


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom the server sees behind our certificate.

    :param presented: a client certificate was configured.
    :param clearance: ``SecurityClearance`` such as ``ValidUser``; None if the server does not know the certificate.
    :param permissions: database -> access, such as ``{"shop": "ReadWrite"}``.
    :param certificate_name: its name on the server.
    """

    presented: bool
    clearance: str | None = None
    permissions: tuple[tuple[str, str], ...] = ()
    certificate_name: str = ""


def read_complaint(answer: ErrorAnswer) -> ServerComplaint | None:
    """The error body as RavenDB writes it, None if somebody else wrote it (a proxy, another program)."""
    try:
        value = json.loads(_decoded(answer.body, answer.content_encoding))
    except (ValueError, zlib.error):
        return None
    if not isinstance(value, dict) or not isinstance(value.get("Type"), str):
        return None
    message = _without_stored_values(_reason(value))
    return ServerComplaint(value["Type"], redact(message, answer.secrets), str(value.get("LimitType") or ""))


def _reason(value: dict[str, object]) -> str:
    """The message; where the cluster only says that it could not change the record, the reason it wraps instead."""
    message = str(value.get("Message") or "").strip()
    inner = _INNER.findall(str(value.get("Error") or "")) if message.startswith(_RECORD_NOT_CHANGED) else []
    return inner[-1].strip() if inner else message


def _without_stored_values(message: str) -> str:
    """Without what RavenDB quotes from its own store: asked to delete a server-wide task that is not there, it answers with all
    of them, passwords and access keys included (seen on 5.4.207)."""
    return message.partition(_STORED_VALUES)[0].rstrip(" ,")


def error_of_answer(answer: ErrorAnswer, identity: Identity | None = None) -> errors.RavenBackupError:
    """The exception for an error answer."""
    complaint = read_complaint(answer)
    if complaint is None:
        return _error_of_stranger(answer)
    for rule in _RULES:
        found = rule(answer, complaint, identity)
        if found is not None:
            return found
    return errors.ServerError(
        f"{_where(answer)} answered {answer.status} {complaint.name}: {_short(complaint.message)}"
    )


def _where(answer: ErrorAnswer) -> str:
    about = f"for database '{answer.database}' " if answer.database is not None else ""
    return f"RavenDB at {answer.server} {about}({answer.method} {answer.path})"


def _name(answer: ErrorAnswer) -> str:
    return f"Database '{answer.database}' at {answer.server}" if answer.database is not None else f"{answer.server}"


def _short(message: str) -> str:
    line = message.splitlines()[0].strip() if message else "no message"
    if len(line) > _LONGEST_MESSAGE:
        return line[:_LONGEST_MESSAGE] + "..."
    return line if line.endswith((".", "!", "?")) else line + "."


def _missing(answer: ErrorAnswer, told: ServerComplaint, _: Identity | None) -> errors.RavenBackupError | None:
    by_words = told.type == "Error" and "wasn't found" in told.message and told.message.startswith("Database")
    # RavenDB trips over its own header that names a missing database whose name is not ASCII.
    by_accident = (
        told.name == "InvalidOperationException" and "non-ASCII or control character in header" in told.message
    )
    if told.name != "DatabaseDoesNotExistException" and not by_words and not by_accident:
        return None
    return errors.DatabaseNotFoundError(
        f"{_name(answer)} does not exist, or the certificate may not see it. Check the name and the server."
    )


def _disabled(answer: ErrorAnswer, told: ServerComplaint, _: Identity | None) -> errors.RavenBackupError | None:
    if told.name != "DatabaseDisabledException":
        return None
    return errors.DatabaseDisabledError(f"{_name(answer)} is disabled. Enable it in the Studio, then try again.")


def _busy(answer: ErrorAnswer, told: ServerComplaint, _: Identity | None) -> errors.RavenBackupError | None:
    if told.name == "DatabaseRestoringException":
        return errors.DatabaseBusyError(f"{_name(answer)} is being restored. Wait until the restore is done.")
    if told.name in ("DatabaseLoadTimeoutException", "DatabaseConcurrentLoadTimeoutException", "DatabaseIdleException"):
        return errors.DatabaseBusyError(f"{_name(answer)} is being loaded ({_short(told.message)}). Try again later.")
    if told.name == "DatabaseLoadFailureException":
        return errors.ServerUnavailableError(
            f"{_name(answer)} cannot be loaded by the server: {_short(told.message)} See the server's log."
        )
    return None


def _not_on_node(answer: ErrorAnswer, told: ServerComplaint, _: Identity | None) -> errors.RavenBackupError | None:
    if told.name not in ("DatabaseNotRelevantException", "DatabaseNotFoundOnNodeException") and answer.status != 410:
        return None
    return errors.DatabaseNotOnNodeError(
        f"{_name(answer)}: this node does not hold the database (any more). Ask a member of the database group."
    )


def _sharded(answer: ErrorAnswer, told: ServerComplaint, _: Identity | None) -> errors.RavenBackupError | None:
    if "Sharding" not in told.type and "sharded" not in told.message.lower():
        return None
    return errors.ShardedDatabaseError(
        f"{_name(answer)} is sharded, which this package does not support: every shard has its own etags. "
        f"Use RavenDB's own backup tasks for it. ({_short(told.message)})"
    )


def _denied(answer: ErrorAnswer, told: ServerComplaint, who: Identity | None) -> errors.RavenBackupError | None:
    if answer.status not in (401, 403) and told.type != "InvalidAuth":
        return None
    if who is not None and not who.presented:
        return errors.CertificateError(
            f"{answer.server} asks for a client certificate and none is configured. Put the certificate with its private "
            "key (PEM or .pfx) into the connection."
        )
    if who is None or who.clearance is None:
        return errors.CertificateError(
            f"{answer.server} does not know the client certificate (or it has expired). Register it under Studio > Manage "
            "Server > Certificates, or configure the right one."
        )
    return errors.ClearanceError(
        f"The client certificate {_identity_words(who)} may not {answer.method} {answer.path} at {answer.server}"
        + (f" (database '{answer.database}')" if answer.database is not None else "")
        + f". {_needed(answer)}"
    )


def _identity_words(who: Identity) -> str:
    rights = ", ".join(f"{database}: {access}" for database, access in who.permissions) or "no database"
    name = f"'{who.certificate_name}' " if who.certificate_name else ""
    return f"{name}({who.clearance}; {rights})" if who.clearance == "ValidUser" else f"{name}({who.clearance})"


def _needed(answer: ErrorAnswer) -> str:
    """What clearance the route wants, by RavenDB's own route table."""
    path = answer.path
    if path.startswith("/admin/configuration/server-wide"):
        return "Server-wide tasks need clearance ClusterAdmin."
    if path.startswith("/admin/"):
        return "This needs clearance Operator."
    if "/admin/" in path:
        return f"This needs the permission Admin on database '{answer.database}'."
    if path.endswith(("/smuggler/import", "/operations/kill", "/bulk_docs")):
        return f"This needs the permission ReadWrite on database '{answer.database}'."
    return (
        f"This needs at least the permission Read on database '{answer.database}'; backups need Admin to be complete."
    )


def _licence(answer: ErrorAnswer, told: ServerComplaint, _: Identity | None) -> errors.RavenBackupError | None:
    if answer.status != 402 and told.name != "LicenseLimitException":
        return None
    flag = flag_of_refusal(told.message, told.limit_type)
    return errors.LicenceError(
        f"{_where(answer)}: the server's licence refuses it ({flag}): {_short(told.message)} {remedy(flag)}",
        flag,
    )


def _key(answer: ErrorAnswer, told: ServerComplaint, _: Identity | None) -> errors.RavenBackupError | None:
    if told.name != "CryptographicException":
        return None
    return errors.EncryptionKeyError(
        f"{_where(answer)} could not decrypt the backup: the encryption key is not the one it was made with, or the file is "
        "damaged (or not encrypted at all)."
    )


def _conflict(answer: ErrorAnswer, told: ServerComplaint, _: Identity | None) -> errors.RavenBackupError | None:
    if answer.status != 409 and told.name != "ConcurrencyException":
        return None
    return errors.ConflictError(f"{_where(answer)} met a concurrent change: {_short(told.message)}")


def _later(answer: ErrorAnswer, told: ServerComplaint, _: Identity | None) -> errors.RavenBackupError | None:
    if answer.status not in (408, 425, 429, 502, 503, 504):
        return None
    return errors.ServerUnavailableError(
        f"{_where(answer)} is not available now ({answer.status} {told.name}): {_short(told.message)}"
    )


_Rule = Callable[[ErrorAnswer, ServerComplaint, "Identity | None"], "errors.RavenBackupError | None"]
_RULES: tuple[_Rule, ...] = (
    _denied, _missing, _disabled, _busy, _not_on_node, _sharded, _licence, _key, _conflict, _later,
)  # fmt: skip


def _error_of_stranger(answer: ErrorAnswer) -> errors.RavenBackupError:
    """An error answer that RavenDB did not write: empty, or by a proxy or another program."""
    what = f"{answer.status} with {answer.content_type or 'no content'}" if answer.body else f"{answer.status}, empty"
    if 300 <= answer.status < 400:
        return errors.ConfigurationError(
            f"{answer.server} redirects to {answer.location.split('?')[0] or 'somewhere else'} instead of answering. "
            "Configure the node's own URL (mind http and https)."
        )
    if answer.status in (401, 407):
        return errors.ConfigurationError(
            f"{answer.server} answered {what}: it asks for a password, which RavenDB never does. A proxy or another "
            "program is there: connect to the node directly."
        )
    if answer.status in (408, 425, 429, 502, 503, 504):
        return errors.ServerUnavailableError(
            f"{_where(answer)} answered {what}; a proxy's answer or an overloaded server."
        )
    if answer.status == 404:
        return NotFoundError(
            f"{_where(answer)} answered {what}: there is no such thing.", empty=not answer.body.strip()
        )
    return errors.ServerError(
        f"{_where(answer)} answered {what}, which is no RavenDB error. Is the URL that of a RavenDB node?"
    )


class NotFoundError(errors.ServerError):
    """404: the thing asked for is not there; callers turn it into None or into an error of their own.

    :param empty: the answer had no body, as RavenDB's own "unknown" has; a proxy's 404 has a page.
    """

    def __init__(self, message: str, *, empty: bool) -> None:
        self.empty = empty
        super().__init__(message)


def _decoded(body: bytes, encoding: str) -> bytes:
    if "gzip" in encoding.lower() or body[:2] == b"\x1f\x8b":
        return zlib.decompress(body, 31)
    if "deflate" in encoding.lower():
        return zlib.decompress(body)
    return body
