"""A real OpenSSH server for tests: `with SshServer(folder) as server: server.connect(); ...`.

As root it lets in a user of its own making, by key and by password; else only whoever runs the tests, by key.
"""

from __future__ import annotations

import base64
import getpass
import shutil
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import paramiko

from demo.sandbox.debian import ensure_program
from raven_backup_provider.destinations.sftp import SftpDestination
from raven_backup_provider.destinations.sftp_ciphers import CipherChoice
from raven_backup_provider.destinations.sftp_connection import SshServer as Address
from tests.support.local_users import LocalUser, can_make_users, local_user
from tests.support.server_process import ServerProcess, free_port

CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
PidFile none
AuthorizedKeysFile {folder}/authorized_keys
PasswordAuthentication {passwords}
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
UseDNS no
MaxStartups 200
LogLevel VERBOSE
Subsystem sftp internal-sftp
{more}
"""


class SshServer:
    """An OpenSSH server on the loopback address.

    :param more: further lines for sshd_config.
    """

    def __init__(self, more: str = "") -> None:
        self._more = more
        self._stack = ExitStack()
        self.user = LocalUser(getpass.getuser(), "", Path.home())

    def __enter__(self) -> SshServer:
        self.program = ensure_program("sshd", package="openssh-server")
        # Not below pytest's folder, which only its owner may enter.
        self.folder = Path(tempfile.mkdtemp(prefix="raven-sshd-"))
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.folder.chmod(0o755)
        self.home = self.folder / "home"
        if can_make_users():
            self.user = self._stack.enter_context(local_user(self.home))
            Path("/run/sshd").mkdir(exist_ok=True)
        else:
            self.home.mkdir()
        self.make_host_key()
        self._make_key("user_key")
        shutil.copy(self.folder / "user_key.pub", self.folder / "authorized_keys")
        (self.folder / "authorized_keys").chmod(0o644)
        self.process = ServerProcess(self._command, free_port(), self.folder / "log")
        self.process.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self._stack.close()

    # --- running --------------------------------------------------------------------------------------------------

    def _command(self) -> list[str]:
        passwords = "yes" if can_make_users() else "no"
        config = CONFIG.format(port=self.port, folder=self.folder, passwords=passwords, more=self._more)
        (self.folder / "config").write_text(config)
        return [str(self.program), "-D", "-e", "-f", str(self.folder / "config")]

    @property
    def port(self) -> int:
        return self.process.port

    # --- keys -----------------------------------------------------------------------------------------------------

    def make_host_key(self) -> None:
        """A new identity; shown from the next start on."""
        self._make_key("host_key")
        self.host_key = " ".join((self.folder / "host_key.pub").read_text().split()[:2])

    def _make_key(self, name: str) -> None:
        for old in (self.folder / name, self.folder / f"{name}.pub"):
            old.unlink(missing_ok=True)
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(self.folder / name)]
        subprocess.run(command, check=True)

    @property
    def private_key(self) -> str:
        return (self.folder / "user_key").read_text()

    # --- clients --------------------------------------------------------------------------------------------------

    def cut(self) -> None:
        """Cut every connection that stands; new ones are let in."""
        self.process.end_sessions()

    def address(self, port: int | None = None) -> Address:
        return Address("127.0.0.1", port or self.port, self.user.name)

    def new_root(self) -> Path:
        """An empty folder of the login's own."""
        root = Path(tempfile.mkdtemp(prefix="root-", dir=self.home))
        if can_make_users():
            shutil.chown(root, self.user.name)
        return root

    def recipe(self, root: Path) -> tuple[Any, ...]:
        """What another process needs to open the same place: ``recipe[0](*recipe[1:])``."""
        return open_place, self.address(), str(root), (self.host_key, str(self.folder / "user_key"), {})

    def path_of(self, folder: Path) -> str:
        """As the server names it."""
        return str(folder)

    def destination(self, root: Path | str, *, port: int | None = None, **settings: Any) -> SftpDestination:
        key = str(self.folder / "user_key")
        return open_place(self.address(port), str(root), (self.host_key, key, settings))


def open_place(address: Address, root: str, keys: tuple[str, str, dict[str, Any]]) -> SftpDestination:
    """The destination, on a client as the Airflow hook would make it."""
    host_key, user_key, settings = keys
    settings = {"timeout": 30.0, "back_off": (0.05, 0.2, 0.5, 1.0, 2.0), **settings}
    timeout = settings["timeout"]

    choice = CipherChoice()

    def connect(leave_out: Any) -> Any:
        client = paramiko.SSHClient()
        kind, data = host_key.split()
        known = paramiko.PKey.from_type_string(kind, base64.b64decode(data))
        client.get_host_keys().add(f"[127.0.0.1]:{address.port}", kind, known)
        client.connect(
            "127.0.0.1",
            address.port,
            address.login,
            key_filename=user_key,
            allow_agent=False,
            look_for_keys=False,
            timeout=timeout,
            banner_timeout=timeout,
            auth_timeout=timeout,
            disabled_algorithms=leave_out,
        )
        return client

    return SftpDestination(lambda: choice.connect(connect), address, root, **settings)
