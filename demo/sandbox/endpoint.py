"""How demo and tests talk to a RavenDB server: one base URL, one session, one call that fails loudly.

Deliberately independent of `raven_backup_provider`: what checks our backups must not share their code.
"""

from __future__ import annotations

import time
from typing import Any

import requests

from demo.sandbox.errors import SandboxError

TIMEOUT_SECONDS = 60
LOADS_WITHIN_SECONDS = 30


def open_session(ca: str | None = None, client_pem: str | None = None) -> requests.Session:
    """A session that trusts `ca` and shows `client_pem`. Ignores proxies and CA variables of the environment."""
    session = requests.Session()
    session.trust_env = False
    session.verify = ca or True
    session.cert = client_pem
    session.headers["Accept-Encoding"] = "identity"  # the server is near: compressing costs more than it saves
    return session


def _is_loading(response: requests.Response) -> bool:
    """A database that was restored just now may not open yet, its files still held by the restore. Nothing was done then."""
    return response.status_code == 503 and "DatabaseLoadFailureException" in response.text


class Endpoint:
    """A running RavenDB server. `url` has no trailing slash; `session` carries certificate and trust."""

    def __init__(self, url: str, session: requests.Session) -> None:
        self.url = url.rstrip("/")
        self.session = session

    def call(
        self,
        method: str,
        path: str,
        *,
        timeout: float = TIMEOUT_SECONDS,
        missing_ok: bool = False,
        **arguments: Any,
    ) -> requests.Response:
        """Send a request (`path` begins with "/", `arguments` as for requests) and return the answer.

        Raises SandboxError from HTTP 400 on; a 404 is returned when `missing_ok`.
        """
        give_up = time.monotonic() + LOADS_WITHIN_SECONDS
        while True:
            response = self.session.request(method, self.url + path, timeout=timeout, **arguments)
            if not _is_loading(response) or time.monotonic() >= give_up:
                break
            time.sleep(0.5)
        if response.status_code >= 400 and not (missing_ok and response.status_code == 404):
            raise SandboxError(f"{method} {response.url} answered {response.status_code}: {response.text[:2000]}")
        return response

    def get_json(self, path: str, **arguments: Any) -> Any:
        """The decoded JSON answer of a GET."""
        return self.call("GET", path, **arguments).json()

    @property
    def version(self) -> str:
        """The server's full version, such as "7.1.5"."""
        version: str = self.get_json("/build/version")["FullVersion"]
        return version
