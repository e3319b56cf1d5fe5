"""The client certificate RavenDB knows us by, and the TLS settings of every connection.

RavenDB authenticates by TLS client certificates only. OpenSSL loads them from files alone, so the text is handed over in
an anonymous memory file (or, where the system has none, a private 0600 file removed at once); it never stays on disk.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from raven_backup_provider.core.errors import CertificateError, ConfigurationError

_PEM_MARK = "-----BEGIN "


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """Certificate and private key in one PEM text.

    :param pem: certificate (chain) and private key.
    :param key_password: password of the private key inside ``pem``, None if it has none.
    """

    pem: bytes = field(repr=False)
    key_password: str | None = field(default=None, repr=False)

    @classmethod
    def from_pem_text(cls, text: str, key_password: str | None = None) -> ClientCertificate:
        """From PEM text; line breaks that a form or JSON turned into the two characters ``\\n`` are restored.

        :raises ConfigurationError: the certificate or the private key is missing.
        """
        text = restore_line_breaks(text)
        if "-----BEGIN CERTIFICATE-----" not in text:
            raise ConfigurationError(
                "The client certificate text holds no '-----BEGIN CERTIFICATE-----' block. Paste the whole PEM: "
                "certificate and private key."
            )
        if "PRIVATE KEY-----" not in text:
            raise ConfigurationError(
                "The client certificate text holds no private key. Paste the whole PEM: the certificate and its "
                "'-----BEGIN PRIVATE KEY-----' block."
            )
        return cls(text.encode(), key_password)

    @classmethod
    def from_pem_file(cls, path: str | Path, key_password: str | None = None) -> ClientCertificate:
        """From a PEM file that holds certificate and private key.

        :raises ConfigurationError: it cannot be read or lacks one of both.
        """
        data = _read_file(path, "client certificate")
        try:
            return cls.from_pem_text(data.decode("utf-8-sig"), key_password)
        except UnicodeDecodeError:
            raise ConfigurationError(
                f"The client certificate file {path} is not PEM text. If it is a .pfx, give it as such, with its password."
            ) from None
        except ConfigurationError as error:
            raise ConfigurationError(f"{path}: {error}") from None

    @classmethod
    def from_pfx(cls, data: bytes | str | Path, password: str | None = None) -> ClientCertificate:
        """From the bytes (or the path) of a PKCS#12 ``.pfx``.

        :raises ConfigurationError: wrong password, no private key inside, or not a .pfx.
        """
        # Here, because every task start would pay for it, and most have PEM.
        from cryptography.hazmat.primitives.serialization import (
            BestAvailableEncryption,
            Encoding,
            PrivateFormat,
            pkcs12,
        )

        if not isinstance(data, bytes):
            data = _read_file(data, "client certificate")
        encoded = None if not password else password.encode()
        try:
            key, certificate, others = pkcs12.load_key_and_certificates(data, encoded)
        except ValueError:
            raise ConfigurationError(
                "The client certificate .pfx cannot be opened: its password is wrong or missing, or it is no PKCS#12 file."
            ) from None
        if key is None or certificate is None:
            raise ConfigurationError(
                "The client certificate .pfx holds no private key with its certificate. Export it again with the private key."
            )
        # A one-time password keeps the key encrypted on its way into OpenSSL.
        one_time = secrets.token_urlsafe(24)
        parts = [key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(one_time.encode()))]
        parts += [one.public_bytes(Encoding.PEM) for one in (certificate, *others)]
        return cls(b"".join(parts), one_time)


def restore_line_breaks(text: str) -> str:
    """PEM text as it was before a form field or a JSON string flattened its line breaks."""
    text = text.strip()
    if "\n" not in text and "\\n" in text:
        text = text.replace("\\r\\n", "\n").replace("\\n", "\n")
    return text.replace("\r\n", "\n") + "\n"


def tls_context(
    *, certificate: ClientCertificate | None, ca_file: str | None, ca_pem: str | None, verify: bool
) -> ssl.SSLContext:
    """The TLS settings of all connections to one server.

    A given CA replaces the system's trust store; environment variables of HTTP libraries have no say.

    :raises ConfigurationError: CA or certificate cannot be used.
    """
    context = _trusting(ca_file, ca_pem)
    # Python 3.13 made OpenSSL's strict mode the default; certificates made by RavenDB's own setup lack what it asks for.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate is not None:
        _load_certificate(context, certificate)
    return context


def _trusting(ca_file: str | None, ca_pem: str | None) -> ssl.SSLContext:
    if ca_file and ca_pem:
        raise ConfigurationError("Give the CA either as a file or as PEM text, not both.")
    if not ca_file and not ca_pem:
        return ssl.create_default_context()
    text = _read_file(ca_file, "CA").decode("utf-8", "replace") if ca_file else restore_line_breaks(ca_pem or "")
    where = f"The CA file {ca_file}" if ca_file else "The CA text"
    if _PEM_MARK not in text:
        raise ConfigurationError(f"{where} holds no PEM certificate ('-----BEGIN CERTIFICATE-----').")
    try:
        return ssl.create_default_context(cadata=text)
    except (ssl.SSLError, ValueError) as error:
        raise ConfigurationError(f"{where} cannot be used: {getattr(error, 'reason', None) or error}.") from None


def _load_certificate(context: ssl.SSLContext, certificate: ClientCertificate) -> None:
    # Without a password callback OpenSSL would ask on the terminal.
    password = certificate.key_password or ""
    try:
        with _as_file(certificate.pem) as path:
            context.load_cert_chain(path, password=lambda: password)
    except ssl.SSLError as error:
        reason = f" ({error.reason})" if getattr(error, "reason", None) else ""
        raise CertificateError(
            f"The client certificate cannot be used{reason}: the private key does not belong to the certificate, its "
            "password is wrong or missing, or the PEM text is damaged."
        ) from None


@contextlib.contextmanager
def _as_file(data: bytes) -> Iterator[str]:
    memory_file = getattr(os, "memfd_create", None)
    if memory_file is not None and os.path.isdir("/proc/self/fd"):
        descriptor = memory_file("raven-client-certificate", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, data)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    descriptor, path = tempfile.mkstemp(prefix="raven-client-")  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        yield path
    finally:
        os.unlink(path)


def _read_file(path: str | Path, what: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"The {what} file {path} cannot be read: {error.strerror}.") from None
