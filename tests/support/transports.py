"""A transport to a sandbox server, with time-outs that suit tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from demo.sandbox import RavenServer
from demo.sandbox.certificates import Certificate
from raven_backup_provider.raven.transport import ClientCertificate, Transport, TransportSettings


def connect(*urls: str, **settings: Any) -> Transport:
    """An unsecured transport to these URLs."""
    return Transport(TransportSettings(tuple(urls), **{"connect_timeout": 3.0, "read_timeout": 30.0, **settings}))


def connect_as(
    server: RavenServer, certificate: Certificate | None, urls: Sequence[str] = (), **settings: Any
) -> Transport:
    """A transport to a TLS server with that client certificate (None: without one)."""
    client = ClientCertificate.from_pem_file(certificate.pem) if certificate is not None else None
    options = {"certificate": client, "ca_pem": server.ca_pem.read_text(), "retries": 0, **settings}
    return connect(*(urls or [server.url]), **options)
