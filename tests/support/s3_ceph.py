"""Ceph's object gateway over HTTPS: a real S3-compatible store, with the gaps that real ones have.

From Debian's packages ``ceph-mon``, ``ceph-osd`` and ``radosgw`` (version 16.2): one monitor, one disk in a sparse file, no
authentication between them. It ignores checksums of files, the condition of a completion, and locks given with one.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from tests.support.s3_servers import START_SECONDS, S3Server, free_port

_PROGRAMS = ("ceph-mon", "ceph-osd", "radosgw", "ceph", "monmaptool", "radosgw-admin")
#: Bytes of the sparse file. When it is full, writes wait for ever: tests delete what they wrote.
_DISK = 20 << 30


class Ceph(S3Server):
    """One gateway with its small cluster."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "test", "testing123")
        self._conf = folder / "ceph.conf"
        self._daemons: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Ceph:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        super().stop()
        for daemon in reversed(self._daemons):
            daemon.kill()
            daemon.wait()
        self._daemons.clear()

    def _start(self) -> None:
        cluster, disk = str(uuid.uuid4()), str(uuid.uuid4())
        monitor = f"[v2:127.0.0.1:{free_port()},v1:127.0.0.1:{free_port()}]"
        for name in ("mon", "osd", "rgw", "run"):
            (self.folder / name).mkdir()
        self._conf.write_text(self._configuration(cluster, monitor))
        self._run("monmaptool", "--create", "--addv", "a", monitor, "--fsid", cluster, str(self.folder / "map"))
        self._run("ceph-mon", "-c", str(self._conf), "--mkfs", "-i", "a", "--monmap", str(self.folder / "map"))
        self._daemon("ceph-mon", "-i", "a", "-f")
        self._run("ceph", "-c", str(self._conf), "osd", "new", disk)
        self._run("ceph-osd", "-c", str(self._conf), "-i", "0", "--mkfs", "--osd-uuid", disk)
        self._daemon("ceph-osd", "-i", "0", "-f")
        self._wait_for_disk()
        user = ["--uid=ci", "--display-name=ci", f"--access-key={self.key}", f"--secret-key={self.secret}"]
        self._run("radosgw-admin", "-c", str(self._conf), "user", "create", *user)
        self.start(["radosgw", "-c", str(self._conf), "-n", "client.rgw", "-f"])
        self.wait_for_port()

    def _configuration(self, cluster: str, monitor: str) -> str:
        folder = self.folder
        tls = f"ssl_certificate={self.certificate.certificate_pem} ssl_private_key={self.certificate.key_pem}"
        return f"""[global]
fsid = {cluster}
mon host = {monitor}
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon data = {folder}/mon
osd data = {folder}/osd
osd objectstore = bluestore
bluestore block size = {_DISK}
rgw data = {folder}/rgw
rgw gc obj min wait = 1
rgw gc processor period = 10
rgw crypt require ssl = false
run dir = {folder}/run
pid file = {folder}/run/$name.pid
admin socket = {folder}/run/$name.asok
log file = {folder}/$name.log
[client.rgw]
ms mon client mode = crc
rgw frontends = beast ssl_endpoint=127.0.0.1:{self.port} {tls}
"""

    def _run(self, *command: str) -> str:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed: {done.stderr[-2000:]}")
        return done.stdout

    def _daemon(self, program: str, *words: str) -> None:
        with (self.folder / f"{program}.out").open("wb") as log:
            command = [program, "-c", str(self._conf), *words]
            self._daemons.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT))

    def _wait_for_disk(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while "1 up" not in self._run("ceph", "-c", str(self._conf), "osd", "stat"):
            if time.monotonic() > deadline:
                raise RuntimeError("Ceph's disk did not come up.")
            time.sleep(0.3)


def ceph_is_installed() -> bool:
    """Whether Debian's packages are there."""
    return all(shutil.which(program) for program in _PROGRAMS)


@contextlib.contextmanager
def ceph_server() -> Iterator[Ceph]:
    """A running Ceph in a folder of its own."""
    with (
        tempfile.TemporaryDirectory(prefix="raven-backup-ceph-", ignore_cleanup_errors=True) as folder,
        Ceph(Path(folder)) as server,
    ):
        yield server
