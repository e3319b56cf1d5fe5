"""Real FTP servers for tests: pyftpdlib, with and without TLS, and vsftpd, which demands TLS session reuse."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import ssl
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from demo.sandbox.certificates import make_certificate
from demo.sandbox.debian import ensure_program
from raven_backup_provider.destinations.ftp import FtpDestination
from raven_backup_provider.destinations.ftp_client import FtpServer as Address
from raven_backup_provider.destinations.ftp_client import log_in
from tests.support.local_users import local_user
from tests.support.server_process import ServerProcess, free_port

REPOSITORY = Path(__file__).parents[2]
needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="vsftpd lets in only users of the machine, and to make one for the test needs root"
)


class FtpServer:
    """What the two have in common. ``root_prefix``: the login's folder as the server names it."""

    login: str
    password: str
    root_prefix = ""

    def __init__(self, *, tls: bool) -> None:
        self.tls = tls
        self._stack = ExitStack()

    def __enter__(self) -> Any:
        self.folder = Path(tempfile.mkdtemp(prefix="raven-ftpd-"))
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.folder.chmod(0o755)
        self.home = self.folder / "home"
        self.certificate = make_certificate(self.folder / "tls", "ftp", server=True) if self.tls else None
        self.prepare()
        self.process = ServerProcess(self.command, free_port(), self.folder / "log")
        self.process.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self._stack.close()

    def prepare(self) -> None:
        raise NotImplementedError

    def command(self) -> list[str]:
        raise NotImplementedError

    @property
    def port(self) -> int:
        return self.process.port

    def address(self, port: int | None = None) -> Address:
        return Address("127.0.0.1", port or self.port, self.login, self.tls)

    def cut(self) -> None:
        """Cut every connection that stands; new ones are let in."""
        self.process.end_sessions()

    def new_root(self) -> Path:
        root = Path(tempfile.mkdtemp(prefix="root-", dir=self.home))
        root.chmod(0o755)
        if os.geteuid() == 0:
            shutil.chown(root, self.home.owner())
        return root

    def recipe(self, root: Path) -> tuple[Any, ...]:
        """What another process needs to open the same place: ``recipe[0](*recipe[1:])``."""
        return open_place, self.address(), self.path_of(root), (self.password, self._ca, {})

    def destination(self, root: Path, *, port: int | None = None, **settings: Any) -> FtpDestination:
        return open_place(self.address(port), self.path_of(root), (self.password, self._ca, settings))

    def path_of(self, folder: Path) -> str:
        """As the server names it."""
        return f"{self.root_prefix}/{folder.relative_to(self.home)}"

    @property
    def _ca(self) -> str | None:
        return str(self.certificate.certificate_pem) if self.certificate else None


def open_place(address: Address, root: str, given: tuple[str, str | None, dict[str, Any]]) -> FtpDestination:
    """The destination, on a client as our hook would make it."""
    password, ca_file, settings = given
    settings = {"timeout": 30.0, "back_off": (0.05, 0.2, 0.5, 1.0, 2.0), **settings}
    timeout = settings.pop("timeout")
    context = ssl.create_default_context(cafile=ca_file) if ca_file else None
    return FtpDestination(
        lambda: log_in(address, password, context=context, timeout=timeout), address, root, **settings
    )


class PyFtpd(FtpServer):
    """pyftpdlib. ``settings`` as in pyftpd_process.py."""

    def __init__(self, *, tls: bool = False, **settings: Any) -> None:
        super().__init__(tls=tls)
        self.login, self.password = "backup", secrets.token_urlsafe(12)
        self._settings = settings

    def prepare(self) -> None:
        self.home.mkdir()

    def cut(self) -> None:
        self.process.kill()  # its connections have no processes of their own
        self.process.start()

    def command(self) -> list[str]:
        settings = {
            "port": self.port,
            "home": str(self.home),
            "login": self.login,
            "password": self.password,
            "certificate": str(self.certificate.pem) if self.certificate else None,
            **self._settings,
        }
        return [sys.executable, str(REPOSITORY / "tests/support/pyftpd_process.py"), json.dumps(settings)]


VSFTPD = """
listen=YES
listen_address=127.0.0.1
listen_port={port}
background=NO
anonymous_enable=NO
local_enable=YES
write_enable=YES
local_umask=077
pam_service_name=vsftpd
secure_chroot_dir={empty}
pasv_address=127.0.0.1
seccomp_sandbox=NO
xferlog_enable=NO
max_login_fails=100
{more}
"""
VSFTPD_TLS = """
ssl_enable=YES
rsa_cert_file={certificate}
rsa_private_key_file={key}
force_local_logins_ssl=YES
force_local_data_ssl=YES
require_ssl_reuse=YES
ssl_ciphers=HIGH
"""


class Vsftpd(FtpServer):
    """vsftpd with a local user; needs root."""

    def __init__(self, *, tls: bool = True, more: str = "") -> None:
        super().__init__(tls=tls)
        self._more = more

    def prepare(self) -> None:
        self.program = ensure_program("vsftpd", package="vsftpd")
        self.user = self._stack.enter_context(local_user(self.home))
        self.login, self.password = self.user.name, self.user.password
        self.root_prefix = str(self.home)
        (self.folder / "empty").mkdir()

    def command(self) -> list[str]:
        text = VSFTPD.format(port=self.port, empty=self.folder / "empty", more=self._more)
        if self.certificate:
            text += VSFTPD_TLS.format(certificate=self.certificate.certificate_pem, key=self.certificate.key_pem)
        config = self.folder / "vsftpd.conf"
        config.write_text(text)
        return [str(self.program), str(config)]
