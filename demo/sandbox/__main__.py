"""Command line of the sandbox: `python -m demo.sandbox start|fetch`."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from pathlib import Path

from demo.sandbox.endpoint import Endpoint
from demo.sandbox.errors import SandboxError
from demo.sandbox.packages import server_folder
from demo.sandbox.releases import DEFAULT_VERSION, RELEASES, release_of
from demo.sandbox.runtime import find_dotnet
from demo.sandbox.server import RavenServer, external_server


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit code is 1 when it failed for a reason the message explains."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = _parser().parse_args(arguments)
    try:
        if options.command == "fetch":
            _fetch(options.versions or list(RELEASES))
        else:
            _start(options)
    except SandboxError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m demo.sandbox", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("start", help="run a server until Ctrl-C")
    start.add_argument("--version", default=DEFAULT_VERSION, choices=list(RELEASES))
    start.add_argument("--tls", action="store_true", help="HTTPS with client certificates")
    start.add_argument("--port", type=int, help="default: a free one")
    start.add_argument("--home", type=Path, help="keep data, log and certificates here (default: temporary)")
    start.add_argument("--setting", action="append", default=[], metavar="NAME=VALUE", help="RavenDB setting")
    fetch = commands.add_parser("fetch", help="download servers and .NET into the cache")
    fetch.add_argument("versions", nargs="*", metavar="version", help=f"default: {' '.join(RELEASES)}")
    return parser


def _fetch(versions: list[str]) -> None:
    releases = [release_of(version) for version in versions]
    print(find_dotnet().description)
    for release in releases:
        print(f"RavenDB {release.version}: {server_folder(release)}")


def _start(options: argparse.Namespace) -> None:
    if external := external_server():
        _announce(external)
        return
    settings = dict(setting.split("=", 1) for setting in options.setting)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with RavenServer(
        options.version, tls=options.tls, port=options.port, home=options.home, settings=settings
    ) as server:
        _announce(server)
        if server.tls:
            print(f"CA:                 {server.ca_pem}\nAdmin certificate:  {server.admin_certificate.pem}")
        print(f"Log: {server.log_file}\nCtrl-C ends it.", flush=True)
        while server.running and not ended.wait(1):
            pass
        if not server.running:
            raise SandboxError(f"The server ended by itself. Log:\n{server.log_tail()}")


def _announce(endpoint: Endpoint) -> None:
    print(f"RavenDB {endpoint.version} at {endpoint.url}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
