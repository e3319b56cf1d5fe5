"""Every kind of store that backups can go to, each on its server, each reached as a user does: by a Connection and an address.

S3 is moto (archive classes too: it keeps such files from being read, and retrieves at once), Azure is Azurite, SFTP is OpenSSH,
FTP and FTPS are pyftpdlib; the vault is our fake of the service (fake_glacier.py). S3 and Azure stand behind a relay, for they
keep their data in memory: a server that is :meth:`Stores.down` refuses connections, and has its data when it is back.
"""

from __future__ import annotations

import itertools
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from raven_backup_provider.core.destination import Destination
from raven_backup_provider.hooks.storage import open_destination
from tests.support.azurite import ACCOUNT, KEY, Azurite
from tests.support.fake_glacier import FakeGlacier
from tests.support.ftpd import PyFtpd
from tests.support.relay import Relay
from tests.support.s3_servers import moto_server
from tests.support.sshd import SshServer

KINDS = ("folder", "s3", "s3-archive", "azure", "sftp", "ftp", "ftps", "vault")
#: Where files must be retrieved before they can be read.
ARCHIVES = ("s3-archive", "vault")
_numbers = itertools.count(1)


class Stores:
    """Servers are started when a kind is first asked for; Connections are environment variables until the end."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._servers: dict[str, Any] = {}
        self._before: dict[str, str | None] = {}
        self.folder = Path()

    def __enter__(self) -> Stores:
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="raven-stores-")))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        for name, before in self._before.items():
            os.environ.pop(name, None) if before is None else os.environ.update({name: before})

    def new(self, kind: str) -> str:
        """The address of an empty place."""
        makers: dict[str, Callable[[int], str]] = {
            "folder": self._new_folder,
            "s3": self._new_bucket,
            "s3-archive": lambda n: f"{self._new_bucket(n)}&storage_class=GLACIER",
            "azure": self._new_container,
            "sftp": self._new_sftp,
            "ftp": lambda n: self._new_ftp("ftp", "tls=off"),
            "ftps": lambda n: self._new_ftp("ftps", f"ca_file={self._ftps().certificate.certificate_pem}"),
            "vault": self._new_vault,
        }
        return makers[kind](next(_numbers))

    @staticmethod
    def open(address: str) -> Destination:
        """The destination, as operators and the command open it."""
        return open_destination(address)

    @contextmanager
    def down(self, kind: str) -> Iterator[None]:
        """The server is not there; afterwards it is, with all its data."""
        if kind in ("s3", "azure"):
            relay: Relay = self._servers[f"{kind} relay"]
            relay.refuse()
            try:
                yield
            finally:
                again = Relay(self._url_of(kind), port=relay.port)
                self._servers[f"{kind} relay"] = self._stack.enter_context(again)
            return
        process = self._servers[kind].process
        process.kill()
        try:
            yield
        finally:
            process.start()

    def pass_hours(self, hours: float) -> None:
        """On the clock of the vault."""
        self._vaults().pass_hours(hours)

    def until_retrieved(self, command: Callable[..., Any], *arguments: str) -> Any:
        """The answer of ``raven-backup``; where files are being retrieved, that of the same command some hours later."""
        answer = command(*arguments)
        if answer.code == 3 and "being retrieved" in answer.err:
            self.pass_hours(5)
            answer = command(*arguments)
        return answer

    # --- places ---------------------------------------------------------------------------------------------------

    def _new_folder(self, number: int) -> str:
        root = self.folder / f"folder-{number}"
        root.mkdir()
        return f"file://{root}"

    def _new_bucket(self, number: int) -> str:
        server = self._server("s3", moto_server)
        relay = self._server("s3 relay", lambda: Relay(self._url_of("s3")))
        extra = {"endpoint_url": relay.url, "region_name": "us-east-1", "verify": server.ca}
        self._connect("store_s3", "aws", login=server.key, password=server.secret, extra=extra)
        return f"s3://store_s3@{server.new_bucket()}/company/ravendb?part_mb=5&retry_seconds=3"

    def _new_container(self, number: int) -> str:
        server = self._server("azure", Azurite)
        relay = self._server("azure relay", lambda: Relay(self._url_of("azure")))
        self._connect("store_azure", "wasb", login=ACCOUNT, password=KEY, host=server.url(relay.url))
        return f"wasb://store_azure@{server.new_container()}/company/ravendb?block_mb=4&tries=2"

    def _new_sftp(self, number: int) -> str:
        server: SshServer = self._server("sftp", SshServer)
        extra = {"host_key": server.host_key, "key_file": str(server.folder / "user_key")}
        fields: dict[str, Any] = {"host": "127.0.0.1", "port": server.port, "login": server.user.name}
        self._connect("store_sftp", "sftp", extra=extra, **fields)
        return f"sftp://store_sftp@{server.new_root()}"

    def _new_ftp(self, kind: str, setting: str) -> str:
        server: PyFtpd = self._ftps() if kind == "ftps" else self._server(kind, PyFtpd)
        fields = {"host": "127.0.0.1", "port": server.port, "login": server.login, "password": server.password}
        self._connect(f"store_{kind}", "ftp", **fields)
        return f"ftp://store_{kind}@/{server.new_root().name}?{setting}"

    def _new_vault(self, number: int) -> str:
        ledger = self.folder / f"ledger-{number}"
        ledger.mkdir()
        extra = {"endpoint_url": self._vaults().url, "region_name": "eu-west-1"}
        self._connect("store_vault", "aws", login="test", password="testing", extra=extra)
        return f"glacier://store_vault@box/place-{number}?part_mb=1&ledger=file://{ledger}"

    # --- servers and Connections ----------------------------------------------------------------------------------

    def _ftps(self) -> Any:
        return self._server("ftps", lambda: PyFtpd(tls=True))

    def _vaults(self) -> FakeGlacier:
        if "vault" not in self._servers:
            self._servers["vault"] = fake = FakeGlacier()
            self._stack.callback(fake.close)
        found: FakeGlacier = self._servers["vault"]
        return found

    def _url_of(self, kind: str) -> str:
        """Of the server itself, not of the relay in front of it."""
        server = self._servers[kind]
        return str(server.url if kind == "s3" else server.endpoint)

    def _server(self, name: str, start: Callable[[], Any]) -> Any:
        if name not in self._servers:
            self._servers[name] = self._stack.enter_context(start())
        return self._servers[name]

    def _connect(self, conn_id: str, conn_type: str, *, extra: dict[str, Any] | None = None, **fields: Any) -> None:
        variable = f"AIRFLOW_CONN_{conn_id.upper()}"
        self._before.setdefault(variable, os.environ.get(variable))
        os.environ[variable] = json.dumps({"conn_type": conn_type, **fields, "extra": extra or {}})
