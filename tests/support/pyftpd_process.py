"""pyftpdlib as a process of its own, with what some servers lack taken away.

    python tests/support/pyftpd_process.py '{"port": ..., "home": ..., "login": ..., "password": ..., ...}'

``without``: commands it does not know, such as ``["MLSD", "MLST"]``; ``listing``: "unix" or "odd" lines in LIST; ``certificate``:
PEM file, TLS is then required; ``no_restart``: REST before STOR is refused; ``overwrites``: rename overwrites (else refused).
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, ClassVar

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.filesystems import AbstractedFS
from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler
from pyftpdlib.servers import FTPServer


def main(settings: dict[str, Any]) -> None:
    authorizer = DummyAuthorizer()
    authorizer.add_user(settings["login"], settings["password"], settings["home"], perm="elradfmwMT")
    base = TLS_FTPHandler if settings.get("certificate") else FTPHandler
    hidden = set(settings.get("without", ()))

    class FileSystem(AbstractedFS):  # type: ignore[misc]
        def rename(self, src: str, dst: str) -> None:
            if settings.get("rename_refuses") and os.path.exists(dst):
                raise FileExistsError(17, "File exists", dst)
            super().rename(src, dst)

        def format_list(self, basedir: str, listing: Any, ignore_err: bool = True) -> Any:
            for line in super().format_list(basedir, listing, ignore_err):
                yield b"?? " + line if settings.get("listing") == "odd" else line

    class Handler(base):  # type: ignore[misc,valid-type]
        proto_cmds: ClassVar = {name: what for name, what in base.proto_cmds.items() if name not in hidden}

        def ftp_STOR(self, file: str, mode: str = "w") -> Any:
            if settings.get("no_restart") and self._restart_position:
                self._restart_position = 0
                self.respond("451 Append/Restart not permitted, try again.")
                return None
            return super().ftp_STOR(file, mode)

        def ftp_FEAT(self, line: str) -> None:
            if {"MLSD", "MLST"} & hidden:
                self.push("211-Features supported:\r\n UTF8\r\n SIZE\r\n REST STREAM\r\n211 End FEAT.\r\n")
            else:
                super().ftp_FEAT(line)

    Handler.authorizer = authorizer
    Handler.abstracted_fs = FileSystem
    if settings.get("certificate"):
        Handler.certfile = settings["certificate"]
        Handler.tls_control_required = Handler.tls_data_required = True
    server = FTPServer(("127.0.0.1", settings["port"]), Handler)
    server.max_cons = 512
    server.serve_forever()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
