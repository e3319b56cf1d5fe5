"""``python -m benchmarks.destinations_sftp``: the SFTP destination against scp, sftp and bare paramiko, on one OpenSSH server.

Bare paramiko is what Airflow's ``SFTPHook.store_file`` and ``retrieve_file`` do: ``put`` and ``getfo``, in this process.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paramiko

from benchmarks.destinations_servers import Tool, compare, options
from tests.support.sshd import SshServer


def _tools(server: SshServer) -> list[Tool]:
    known = server.folder / "known_hosts"
    known.write_text(f"[127.0.0.1]:{server.port} {server.host_key}\n")
    common = [
        "-q",
        "-P",
        str(server.port),
        "-i",
        str(server.folder / "user_key"),
        *("-o", f"UserKnownHostsFile={known}", "-o", "IdentitiesOnly=yes", "-o", "Compression=no"),
    ]
    place = f"{server.user.name}@127.0.0.1"

    def sftp(command: str) -> None:
        words = ["sftp", *common, "-b", "-", place]
        subprocess.run(words, input=f"{command}\n", text=True, check=True, capture_output=True)

    def scp(source: str, target: str) -> None:
        subprocess.run(["scp", *common, source, target], check=True, capture_output=True)

    def bare(work: Callable[[Any], object]) -> None:
        client = paramiko.SSHClient()
        client.load_host_keys(str(known))
        key = str(server.folder / "user_key")
        client.connect(
            "127.0.0.1", server.port, server.user.name, key_filename=key, look_for_keys=False, allow_agent=False
        )
        try:
            work(client.open_sftp())
        finally:
            client.close()

    return [
        Tool(
            "bare paramiko",
            lambda source, path: bare(lambda sftp: sftp.put(str(source), path)),
            lambda path, target: bare(lambda sftp: _get(sftp, path, target)),
        ),
        Tool(
            "OpenSSH `scp`",
            lambda source, path: scp(str(source), f"{place}:{path}"),
            lambda path, target: scp(f"{place}:{path}", str(target)),
        ),
        Tool(
            "OpenSSH `sftp`",
            lambda source, path: sftp(f"put {source} {path}"),
            lambda path, target: sftp(f"get {path} {target}"),
        ),
    ]


def _get(sftp: Any, path: str, target: Path) -> None:
    with target.open("wb") as file:
        sftp.getfo(path, file)


def main() -> None:
    """Run it."""
    given = options(__doc__ or "")
    with SshServer() as server:
        Path(server.folder / "user_key").chmod(0o600)
        compare("SFTP", server, _tools(server), given)


if __name__ == "__main__":
    main()
