"""Starts, restarts, kills and stops one real RavenDB server. `RAVENDB_URL` set: that server is used instead.

A server lives in one folder (`home`): its data, log and certificates. The folder is temporary unless the caller gives
one, and is then kept. The program folder in the cache is shared by all servers and never written to.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import requests

from demo.sandbox.certificates import Certificate, make_certificate
from demo.sandbox.endpoint import Endpoint, open_session
from demo.sandbox.errors import SandboxError
from demo.sandbox.packages import server_folder
from demo.sandbox.releases import DEFAULT_VERSION, release_of
from demo.sandbox.runtime import find_dotnet
from demo.sandbox.watchdog import guard

URL_VARIABLE = "RAVENDB_URL"
#: Set: servers live for minutes at most, so that compiling again what runs often, which makes a long-lived one fast, does not pay.
SHORT_LIVED_VARIABLE = "SANDBOX_SHORT_LIVED"
START_TIMEOUT_SECONDS = 120.0
STOP_TIMEOUT_SECONDS = 20.0
START_ATTEMPTS = 3
LOG_TAIL_LINES = 30
_PORTS = range(15_000, 32_000)


class RavenServer(Endpoint):
    """A RavenDB server of the sandbox, as a context manager or through `start()` and `stop()`.

    :param version: one of `releases.RELEASES`.
    :param tls: serve HTTPS and demand client certificates; `session` then is the cluster admin's.
    :param home: folder for data, log and certificates, kept at stop. Default: a temporary one, removed at stop.
    :param port: fixed port; default a free one, kept over restarts.
    :param settings: further RavenDB settings, for example `{"Tombstones.CleanupIntervalInMin": "1"}`.
    """

    def __init__(
        self,
        version: str = DEFAULT_VERSION,
        *,
        tls: bool = False,
        home: Path | None = None,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.release = release_of(version)
        self.tls = tls
        self.settings = dict(settings or {})
        self._kept_home = home
        self._fixed_port = port
        self._home: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None
        self.port = port or 0
        super().__init__("", requests.Session())

    # -- where things are ------------------------------------------------------------------------------------------

    @property
    def home(self) -> Path:
        if self._home is None:
            raise SandboxError("The sandbox server was not started, so it has no folder yet.")
        return self._home

    @property
    def data_dir(self) -> Path:
        return self.home / "data"

    @property
    def log_file(self) -> Path:
        return self.home / "server.log"

    @property
    def pid(self) -> int:
        """Process id of the server, for example to measure its memory."""
        if self._process is None:
            raise SandboxError("The sandbox server is not running.")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def admin_certificate(self) -> Certificate:
        """The server's own certificate, which is also the cluster admin's. TLS only."""
        return self._certificate("server", server=True)

    @property
    def ca_pem(self) -> Path:
        """What a client must trust to talk to this server. TLS only."""
        return self.admin_certificate.certificate_pem

    # -- life ------------------------------------------------------------------------------------------------------

    def __enter__(self) -> RavenServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> RavenServer:
        """Start and wait until the server answers. After `kill()` or `halt()`: again on the same data and port."""
        if self.running:
            return self
        if self._home is None:
            self._home = self._kept_home or Path(tempfile.mkdtemp(prefix="raven-sandbox-"))
            self._home.mkdir(parents=True, exist_ok=True)
        attempts = 1 if self.port else START_ATTEMPTS
        for attempt in range(1, attempts + 1):
            port = self.port or free_port()
            try:
                self._start_on(port)
                break
            except SandboxError:
                self.kill()
                # Between choosing the port and the server's bind, another process may have taken it.
                if attempt == attempts or "address already in use" not in self.log_tail().lower():
                    if self._kept_home is None and self.port == 0:
                        self._drop_home()
                    raise
        self.port = port
        return self

    def halt(self) -> None:
        """Shut down in good order and keep data and port for the next `start()`."""
        self._end(graceful=True)

    def kill(self) -> None:
        """SIGKILL, as a power cut would: nothing is flushed. Data and port are kept for the next `start()`."""
        self._end(graceful=False)

    def restart(self) -> RavenServer:
        """Halt, then start on the same data and port."""
        self.halt()
        return self.start()

    def stop(self) -> None:
        """End the server for good; a temporary home is removed."""
        try:
            # Data about to be deleted needs no orderly shutdown.
            self._end(graceful=self._kept_home is not None)
        finally:
            self.session.close()
            if self._kept_home is None:
                self._drop_home()
            self._home = None
            self.port = self._fixed_port or 0

    def log_tail(self, lines: int = LOG_TAIL_LINES) -> str:
        """The last lines the server printed."""
        if self._home is None or not self.log_file.is_file():
            return "(no log)"
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-lines:])

    # -- certificates ----------------------------------------------------------------------------------------------

    def session_as(self, certificate: Certificate | None) -> requests.Session:
        """A session that shows this client certificate, or none. TLS only."""
        return open_session(str(self.ca_pem), str(certificate.pem) if certificate else None)

    def endpoint_as(self, certificate: Certificate | None) -> Endpoint:
        """This server as seen with that client certificate, or with none. TLS only."""
        return Endpoint(self.url, self.session_as(certificate))

    def stranger_certificate(self, name: str = "stranger") -> Certificate:
        """A client certificate the server has never heard of."""
        return self._certificate(name, server=False)

    def client_certificate(
        self, name: str, *, clearance: str = "ValidUser", permissions: Mapping[str, str] | None = None
    ) -> Certificate:
        """Make a client certificate and register it; two of one name are two certificates.

        :param clearance: `ValidUser`, `Operator` or `ClusterAdmin`.
        :param permissions: for `ValidUser`: database name to `Admin` or `ReadWrite` (`Read` needs a licence).
        """
        certificate = self._certificate(name, server=False, folder=secrets.token_hex(4))
        body = {
            "Name": name,
            "Certificate": certificate.certificate_base64,
            "SecurityClearance": clearance,
            "Permissions": dict(permissions or {}),
        }
        self.call("PUT", "/admin/certificates", json=body)
        return certificate

    # -- inside ----------------------------------------------------------------------------------------------------

    def _certificate(self, name: str, *, server: bool, folder: str = "") -> Certificate:
        if not self.tls:
            raise SandboxError("This sandbox server speaks plain HTTP; start it with tls=True to have certificates.")
        return make_certificate(self.home / "certificates" / folder, name, server=server)

    def _start_on(self, port: int) -> None:
        program = server_folder(self.release)
        dotnet = find_dotnet()
        self._prepare_client(port)
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [*dotnet.command, str(program / "Raven.Server.dll"), *self._arguments(port)],
                cwd=program,
                env={**_clean_environment(), **dotnet.environment, **_tuning()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in the terminal reaches us alone; we then stop the server
            )
        self._watchdog = guard(self._process.pid, None if self._kept_home else self._home)
        self._wait_until_ready()

    def _prepare_client(self, port: int) -> None:
        self.session.close()
        if self.tls:
            self.url = f"https://localhost:{port}"
            self.session = self.session_as(self.admin_certificate)
        else:
            self.url = f"http://127.0.0.1:{port}"
            self.session = open_session()

    def _arguments(self, port: int) -> list[str]:
        settings = {
            "Setup.Mode": "None",
            "License.Eula.Accepted": "true",
            "DataDir": str(self.data_dir),
            "Logs.Path": str(self.home / "logs"),
            "ServerUrl.Tcp": "tcp://127.0.0.1:0",
        }
        if self.tls:
            settings["ServerUrl"] = f"https://127.0.0.1:{port}"
            settings["PublicServerUrl"] = self.url
            settings["Security.Certificate.Path"] = str(self.admin_certificate.pfx)
        else:
            settings["ServerUrl"] = self.url
            # PrivateNetwork does not cover 127.0.0.1: every call would be refused as potentially unsafe.
            settings["Security.UnsecuredAccessAllowed"] = "PublicNetwork"
        return [f"--{name}={value}" for name, value in {**settings, **self.settings}.items()]

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while True:
            assert self._process is not None
            if (code := self._process.poll()) is not None:
                raise SandboxError(f"RavenDB {self.release.version} ended with code {code}. Log:\n{self.log_tail()}")
            try:
                if self.session.get(f"{self.url}/build/version", timeout=5).status_code == 200:
                    return
            except requests.RequestException:
                pass
            if time.monotonic() > deadline:
                raise SandboxError(
                    f"RavenDB {self.release.version} did not answer at {self.url} within {START_TIMEOUT_SECONDS:.0f} s."
                    f" Log:\n{self.log_tail()}"
                )
            time.sleep(0.1)

    def _end(self, *, graceful: bool) -> None:
        process, self._process = self._process, None
        watchdog, self._watchdog = self._watchdog, None
        if process is not None and process.poll() is None:
            if graceful:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(STOP_TIMEOUT_SECONDS)
            process.kill()
            process.wait()
        if watchdog is not None:
            watchdog.kill()
            watchdog.wait()

    def _drop_home(self) -> None:
        if self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)
            self._home = None


def connect_or_start(version: str = DEFAULT_VERSION, *, tls: bool = False, port: int | None = None) -> Endpoint:
    """The server `RAVENDB_URL` names, or else a started `RavenServer` (the caller stops it)."""
    return external_server() or RavenServer(version, tls=tls, port=port).start()


def external_server() -> Endpoint | None:
    """The server `RAVENDB_URL` names; None where the variable is not set."""
    url = os.environ.get(URL_VARIABLE)
    if not url:
        return None
    endpoint = Endpoint(url, open_session())
    try:
        endpoint.call("GET", "/build/version", timeout=10)
    except (requests.RequestException, SandboxError) as error:
        raise SandboxError(f"{URL_VARIABLE} names {url}, which does not answer as a RavenDB server: {error}") from error
    return endpoint


def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago.

    Below the range from which Linux takes the ports of outgoing connections: one of those would be gone by the time a
    server that starts slowly binds it.
    """
    for _ in range(200):
        port = _PORTS.start + secrets.randbelow(len(_PORTS))
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise SandboxError(f"No free TCP port was found between {_PORTS.start} and {_PORTS.stop}.")


def _tuning() -> dict[str, str]:
    """Compile each method once, simply: the optimising second time costs a third of all that such a server does."""
    short = {"DOTNET_TieredPGO": "0", "DOTNET_TC_CallCounting": "0"}
    return short if os.environ.get(SHORT_LIVED_VARIABLE) else {}


def _clean_environment() -> dict[str, str]:
    """The caller's environment without what would configure the server (RAVEN_*) or its .NET (DOTNET_*)."""
    return {
        key: value for key, value in os.environ.items() if not key.upper().startswith(("RAVEN", "DOTNET_", "COMPLUS_"))
    }
