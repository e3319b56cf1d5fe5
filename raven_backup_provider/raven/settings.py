"""How to reach a RavenDB server, and how its URLs and paths are written."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.raven.certificate import ClientCertificate


@dataclass(frozen=True, slots=True)
class TransportSettings:
    """How to reach a server or cluster.

    :param urls: one or several node URLs, scheme and host, no path.
    :param certificate: client certificate, None for an unsecured server.
    :param ca_file: path of a PEM file with the CA(s) to trust instead of the system's.
    :param ca_pem: the same as PEM text.
    :param verify: check the server's certificate. Turning it off lets anybody read the backups on the way.
    :param connect_timeout: seconds to connect, TLS handshake included.
    :param read_timeout: seconds an ordinary answer may take.
    :param stall_timeout: seconds a stream may stay without one byte.
    :param retries: how often a read is tried again, over all nodes, before it fails.
    """

    urls: tuple[str, ...]
    certificate: ClientCertificate | None = None
    ca_file: str | None = None
    ca_pem: str | None = field(default=None, repr=False)
    verify: bool = True
    connect_timeout: float = 10.0
    read_timeout: float = 60.0
    stall_timeout: float = 600.0
    retries: int = 4

    def __post_init__(self) -> None:
        if not self.urls:
            raise ConfigurationError("No RavenDB URL is configured. Give at least one, such as https://a.example.com.")
        object.__setattr__(self, "urls", tuple(dict.fromkeys(base_url(url) for url in self.urls)))
        schemes = {urlsplit(url).scheme for url in self.urls}
        if len(schemes) > 1:
            raise ConfigurationError("The RavenDB URLs mix http and https; a cluster is either secured or not.")
        if self.certificate is not None and schemes == {"http"}:
            raise ConfigurationError(
                f"A client certificate is configured, but the RavenDB URL {self.urls[0]} is http. Use its https:// URL."
            )


def base_url(url: str) -> str:
    """A node's URL without trailing slash or Studio path.

    :raises ConfigurationError: no http(s) URL, or it carries a user name or password.
    """
    text = url.strip()
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigurationError("A RavenDB URL must look like https://host:port; found something else.")
    if parts.username or parts.password:
        raise ConfigurationError(
            f"The RavenDB URL of host {host} carries a user name or password. RavenDB knows client certificates only."
        )
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}" + (f":{port}" if port else "")


def database_path(database: str, path: str) -> str:
    """Path of a database's own endpoint, such as ``/databases/shop/stats``."""
    return f"/databases/{quote(database, safe='')}/{path.lstrip('/')}"
