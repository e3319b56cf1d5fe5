"""``python -m benchmarks.destinations_ftp``: the FTP destination against curl and bare ftplib, on one vsftpd, with TLS and without.

Without root, pyftpdlib takes vsftpd's place, which is slower and then the limit.
"""

from __future__ import annotations

import ftplib
import os
import ssl
import subprocess
from pathlib import Path

from benchmarks.destinations_servers import Tool, compare, options
from benchmarks.source_file import BLOCK, MIB
from raven_backup_provider.destinations.ftp_client import SecureFtp
from tests.support.ftpd import FtpServer, PyFtpd, Vsftpd


def _curl(server: FtpServer) -> Tool:
    tls = ["--ssl-reqd", "--cacert", str(server.certificate.certificate_pem)] if server.certificate else []

    def run(words: list[str], path: str) -> None:
        # Two slashes: an absolute path. The login goes in by standard input, not on the command line.
        command = ["curl", "--silent", "--show-error", "-K", "-", *tls, *words, f"ftp://127.0.0.1:{server.port}/{path}"]
        login = f'user = "{server.login}:{server.password}"\n'
        subprocess.run(command, input=login, text=True, check=True)

    return Tool(
        "curl",
        lambda source, path: run(["-T", str(source)], path),
        lambda path, target: run(["-o", str(target)], path),
    )


def _ftplib(server: FtpServer) -> Tool:
    def client() -> ftplib.FTP:
        if server.certificate is None:
            found = ftplib.FTP()
        else:
            found = SecureFtp(context=ssl.create_default_context(cafile=str(server.certificate.certificate_pem)))
        found.connect("127.0.0.1", server.port)
        found.login(server.login, server.password)
        if isinstance(found, SecureFtp):
            found.prot_p()
        return found

    def upload(source: Path, path: str) -> None:
        with client() as ftp, source.open("rb") as file:
            ftp.storbinary(f"STOR {path}", file, blocksize=BLOCK)

    def download(path: str, target: Path) -> None:
        # The sizes at which it is fastest: larger ones cost it an allocation for each record of TLS.
        with client() as ftp, target.open("wb") as file:
            ftp.retrbinary(f"RETR {path}", file.write, blocksize=MIB // 16 if server.certificate else MIB // 4)

    return Tool("bare ftplib", upload, download)


def main() -> None:
    """Run it."""
    given = options(__doc__ or "")
    for tls in (True, False):
        with Vsftpd(tls=tls) if os.geteuid() == 0 else PyFtpd(tls=tls) as server:
            compare("FTPS" if tls else "plain FTP", server, [_curl(server), _ftplib(server)], given)


if __name__ == "__main__":
    main()
