"""`make demo`: a real RavenDB, a real Airflow, and a backup followed from the first byte to the proof that it restores.

On a terminal everything stays up until Ctrl-C, to look around; otherwise it is stopped and the exit code tells: 0, all
restored databases equal their sources; 1, a step failed or something differs; 130 or 143, ended by a signal.
"""

from __future__ import annotations

import argparse
import fcntl
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from demo.airflow_api import AirflowApi
from demo.airflow_server import USER, AirflowServer
from demo.errors import DemoError, Ended
from demo.report import Copy, Progress, print_comparison, print_times
from demo.sandbox import DEFAULT_VERSION, RELEASES, RavenServer, SandboxError, external_server
from demo.sandbox.endpoint import Endpoint
from demo.story import FOLDER_CONN, KEY_CONN, RAVENDB_CONN, DemoDatabase, Story, prepare_databases
from raven_backup_provider.core.encryption import EncryptionKey

REPOSITORY = Path(__file__).resolve().parent.parent
HOME = REPOSITORY / ".demo"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo."""
    options = _parser().parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    try:
        with ExitStack() as stack:
            try:
                return _run(options, stack)
            finally:
                _ignore_signals()  # a second Ctrl-C shall not interrupt the clean-up
    except Ended as ended:
        print("\nStopped.", file=sys.stderr)
        return 128 + ended.number
    except (DemoError, SandboxError) as error:
        print(f"\nThe demo failed; everything it started is stopped.\n{error}", file=sys.stderr)
        return 1


def _run(options: argparse.Namespace, stack: ExitStack) -> int:
    progress = Progress()
    stack.enter_context(_only_demo(options.home))
    backups = _fresh_folders(options.home)
    key = EncryptionKey.generate()
    databases = [DemoDatabase("shop"), DemoDatabase("vault", KEY_CONN, key.base64())]
    raven = _start_raven(options, progress, stack)
    airflow = _start_airflow(options.home, backups, raven, key, progress, stack)
    with progress.step(f"Create the databases {' and '.join(d.name for d in databases)} with RavenDB's sample data"):
        prepare_databases(raven, databases)
    with progress.step("Wait until Airflow is ready"):
        airflow.wait_until_ready()
        api = AirflowApi(airflow)
    progress.say(f"Airflow: {airflow.url} (user {USER}, password {airflow.password})")
    copies = Story(raven, api, databases, backups, progress).tell()
    equal = _tell_end(copies, progress)
    _tell_where(airflow, raven, backups)
    if _stays(options):
        _stay_up(airflow)
    return 0 if equal else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--ravendb", default=DEFAULT_VERSION, choices=list(RELEASES), help="version of the server")
    parser.add_argument("--home", type=Path, default=HOME, help="folder for everything the demo writes (emptied first)")
    parser.add_argument("--no-wait", action="store_true", help="stop everything at the end, also on a terminal")
    return parser


def _start_raven(options: argparse.Namespace, progress: Progress, stack: ExitStack) -> Endpoint:
    external = external_server()
    if external is not None:
        progress.say(f"Using RavenDB {external.version} at {external.url} (RAVENDB_URL)")
        return external
    with progress.step(f"Start RavenDB {options.ravendb} (the first time it is downloaded)"):
        server = stack.enter_context(RavenServer(options.ravendb, home=options.home / "ravendb"))
    progress.say(f"RavenDB Studio: {server.url}")
    return server


def _start_airflow(
    home: Path, backups: Path, raven: Endpoint, key: EncryptionKey, progress: Progress, stack: ExitStack
) -> AirflowServer:
    connections: dict[str, dict[str, Any]] = {
        # The schema of a RavenDB Connection is its default database: what the trigger forms mean by an empty field.
        RAVENDB_CONN: {"conn_type": "ravendb", "host": raven.url, "schema": "shop"},
        FOLDER_CONN: {
            "conn_type": "ravendb_backup_folder",
            "extra": {"path": str(backups), "server_path": str(backups)},
        },
        KEY_CONN: {"conn_type": "ravendb_backup_key", "password": key.base64()},
    }
    progress.say("Start Airflow (scheduler, DAG processor, triggerer, API server) ...")
    server = AirflowServer(home / "airflow", dags=REPOSITORY / "dags", connections=connections)
    return stack.enter_context(server)


def _fresh_folders(home: Path) -> Path:
    """Empty folders; what an earlier demo left goes, but nothing that is not the demo's."""
    for name in ("airflow", "backups", "ravendb"):
        shutil.rmtree(home / name, ignore_errors=True)
    backups = home / "backups"
    backups.mkdir(parents=True)
    return backups


@contextmanager
def _only_demo(home: Path) -> Iterator[None]:
    """Two demos in one folder would delete each other's files."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError(
                f"Another demo is running in {home}. End it first, or give this one --home FOLDER."
            ) from None
        yield


def _tell_end(copies: Sequence[Copy], progress: Progress) -> bool:
    equal = all(copy.equal for copy in copies)
    print("\nTime of each step\n")
    print_times(progress)
    print("\nRestored databases compared with their sources, item by item\n")
    print_comparison(copies)
    if not equal:
        print("\nRESTORED DATABASES DIFFER FROM THEIR SOURCES.")
    elif any(found for copy in copies for found in copy.known.values()):
        print("\nEvery restored database equals its source, but for what is marked *.")
    else:
        print("\nEvery restored database equals its source.")
    return equal


def _tell_where(airflow: AirflowServer, raven: Endpoint, backups: Path) -> None:
    print(f"\nAirflow         {airflow.url}   user {USER}, password {airflow.password}")
    print(f"RavenDB Studio  {raven.url}")
    print(f"Backup files    {backups}")
    print(f"Logs            {airflow.log}", flush=True)


def _stays(options: argparse.Namespace) -> bool:
    return sys.stdout.isatty() and not options.no_wait


def _stay_up(airflow: AirflowServer) -> None:
    print(
        "\nAll of it stays up for you to look around (schedules are off, trigger what you like). Ctrl-C ends it.",
        flush=True,
    )
    try:
        while True:
            time.sleep(1)
            if (code := airflow.exit_code) is not None:
                raise DemoError(f"Airflow ended by itself with code {code}. The end of its log:\n{airflow.log_tail()}")
    except Ended as ended:
        if ended.number != signal.SIGINT:
            raise
        print("\nStopping everything ...", flush=True)


def _end(number: int, frame: FrameType | None) -> None:
    _ignore_signals()
    raise Ended(number)


def _ignore_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())
