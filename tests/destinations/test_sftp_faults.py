"""The SFTP destination when the line, the OpenSSH server or the writer fails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from raven_backup_provider.destinations.sftp_channel import SftpChannel
from tests.destinations.server_faults import Killed, ServerFaults
from tests.support.sshd import SshServer


@pytest.fixture(scope="module")
def sshd() -> Iterator[SshServer]:
    with SshServer() as running:
        yield running


class TestSftpFaults(ServerFaults):
    processes_per_session = 3

    @pytest.fixture
    def server(self, sshd: SshServer) -> SshServer:
        return sshd

    def die_before(self, patch: pytest.MonkeyPatch, number: int) -> list[int]:
        requests, real = [0], SftpChannel.ask

        def ask(self: SftpChannel, *request: Any) -> int:
            requests[0] += 1
            if requests[0] >= number:
                raise Killed
            return real(self, *request)

        patch.setattr(SftpChannel, "ask", ask)
        return requests
