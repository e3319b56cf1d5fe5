"""The right to restore to a name: of any number that ask at once, never more than one gets it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import pytest

from demo.sandbox import RavenServer, data
from raven_backup_provider.core.errors import DatabaseBusyError
from raven_backup_provider.raven.restore_reservation import STALE_AFTER, release, reservation_name, reserved
from raven_backup_provider.raven.scratch_databases import new_topology_id
from raven_backup_provider.raven.transport import Transport
from tests.support.backups import settings_of

pytestmark = pytest.mark.integration

RIVALS = 4


def _try(server: RavenServer, target: str, start: threading.Barrier, all_have_asked: threading.Barrier) -> str:
    with Transport(settings_of(server)) as transport:
        node = transport.answering_node()
        start.wait()
        try:
            with reserved(transport, node, target, new_topology_id()):
                all_have_asked.wait(90)
                return "held"
        except DatabaseBusyError:
            all_have_asked.wait(90)
            return "busy"


def _ask_at_once(server: RavenServer, target: str, rivals: int) -> list[str]:
    start, all_have_asked = threading.Barrier(rivals), threading.Barrier(rivals)
    with ThreadPoolExecutor(rivals) as pool:
        asked = [pool.submit(_try, server, target, start, all_have_asked) for _ in range(rivals)]
        return sorted(one.result() for one in asked)


@pytest.mark.parametrize("round_number", range(5))
def test_of_several_that_ask_at_once_one_holds_it_and_never_two(any_raven: RavenServer, round_number: int) -> None:
    """On a busy server a creation can arrive so late that it takes the right from whoever had it: then all are refused."""
    outcomes = _ask_at_once(any_raven, f"Shop{round_number}", RIVALS)
    assert outcomes in (["busy"] * (RIVALS - 1) + ["held"], ["busy"] * RIVALS)
    if "held" not in outcomes:
        assert _ask_at_once(any_raven, f"Shop{round_number}", 1) == ["held"], "what was refused to all must be free"
    assert reservation_name(f"Shop{round_number}") not in data.database_names(any_raven)


def test_it_is_one_right_for_all_letter_cases_and_is_free_again_afterwards(raven71: RavenServer) -> None:
    with Transport(settings_of(raven71)) as transport:
        node = transport.answering_node()
        with reserved(transport, node, "Shop", new_topology_id()):
            with pytest.raises(DatabaseBusyError, match="Another restore to 'sHOP'"):
                reserved(transport, node, "sHOP", new_topology_id()).__enter__()
            with reserved(transport, node, "Other", new_topology_id()):
                pass
        with reserved(transport, node, "SHOP", new_topology_id()):
            pass
    assert not [name for name in data.database_names(raven71) if name.startswith("raven-backup-reservation")]


def test_what_a_killed_process_left_is_released_by_its_retry_or_taken_over_when_it_is_old(raven71: RavenServer) -> None:
    with Transport(settings_of(raven71)) as transport:
        node, token = transport.answering_node(), new_topology_id()
        killed = reserved(transport, node, "Shop", token)
        killed.__enter__()
        release(transport, node, "Shop", new_topology_id())  # of somebody else: changes nothing
        with pytest.raises(DatabaseBusyError):
            reserved(transport, node, "Shop", new_topology_id()).__enter__()
        release(transport, node, "Shop", token)
        again = reserved(transport, node, "Shop", new_topology_id())
        again.__enter__()
        later = datetime.now(timezone.utc) + STALE_AFTER + timedelta(minutes=1)
        with reserved(transport, node, "Shop", new_topology_id(), clock=lambda: later):
            pass
        again.__exit__(None, None, None)  # its holder was not killed but slow: what is not its own any more stays alone
    assert reservation_name("Shop") not in data.database_names(raven71)
