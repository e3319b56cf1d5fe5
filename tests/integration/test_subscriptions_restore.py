"""Subscriptions are in the backup and in the restored database, in both modes, on every version.

Apart from everything else and on a server of its own, because RavenDB 6.2 and 7.1 without a licence restore subscriptions only in
their first minute: after that they refuse each ("cannot exceed the limit of: 15", 6.2 also with a KeyNotFoundException of its
count), whoever restores and however few there are (measured: 62 to 150 seconds after the start).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from demo.sandbox import RavenServer, data
from demo.sandbox.comparison import ABSENT, compare
from raven_backup_provider.core.errors import ConfigurationError
from raven_backup_provider.jobs.restore import run_restore
from raven_backup_provider.jobs.restore_model import RestoreOptions
from raven_backup_provider.jobs.restore_plan import plan_restore
from raven_backup_provider.raven.transport import Transport
from tests.support.backups import Backups
from tests.support.restores import Way, by_our_server_mode, by_our_stream_mode, by_ravendb_alone, restored_state
from tests.support.servers import ALL_VERSIONS, MakeDatabase

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

_OF_AN_OLD_SERVER = ("number of subscriptions per cluster", "was not present in the dictionary")


@pytest.fixture(params=ALL_VERSIONS)
def server(request: pytest.FixtureRequest) -> Iterator[RavenServer]:
    with RavenServer(request.param) as own:
        yield own


def while_young(server: RavenServer, action: Callable[[], None]) -> None:
    """Do it on a server that has just started, once more where it became too old on the way."""
    for last in (False, False, True):
        try:
            action()
        except Exception as error:
            if last or not any(words in str(error) for words in _OF_AN_OLD_SERVER):
                raise
            server.restart()
        else:
            return


def test_subscriptions_of_the_full_and_of_the_incremental_are_restored_and_a_deleted_one_is_not(
    server: RavenServer, tmp_path: Path
) -> None:
    data.create_database(server, "shop")
    data.fill(server, "shop", 5)
    data.create_subscription(server, "shop", "deleted", "from Items")
    data.create_subscription(server, "shop", "kept", "from Items")
    backups = Backups(server, "shop", tmp_path)
    backups.take()
    data.delete_subscription(server, "shop", "deleted")
    data.create_subscription(server, "shop", "new", "from Items")
    data.fill(server, "shop", 1, start=5)
    point = backups.take().key
    original = backups.state()
    assert set(original.subscriptions) == {"kept", "new"}

    def require_equal(way: Way) -> None:
        assert compare(original, restored_state(backups, point, way)) == []

    for way in (by_ravendb_alone, by_our_server_mode, by_our_stream_mode):
        while_young(server, partial(require_equal, way))


def test_subscriptions_can_be_left_out_of_a_restore_and_the_result_says_so(
    raven71: RavenServer, database: MakeDatabase, tmp_path: Path
) -> None:
    name, target = database(raven71, "shop"), database(raven71, "copy", create=False)
    data.fill(raven71, name, 5)
    data.create_subscription(raven71, name, "orders", "from Items")
    backups = Backups(raven71, name, tmp_path)
    backups.take()
    options = RestoreOptions(skip_subscriptions=True)
    with Transport(backups.settings) as transport:
        with pytest.raises(ConfigurationError, match="mode 'stream' only"):
            plan_restore(backups.destination, name, transport, target=target, mode="server", options=options)
        plan = plan_restore(backups.destination, name, transport, target=target, mode="stream", options=options)
        result = run_restore(plan, transport, backups.destination, poll_seconds=0.1)
    assert any("Subscriptions were left out" in warning for warning in result.warnings)
    (only,) = compare(backups.state(), backups.state(target))
    assert (only.item_type, only.key, only.restored) == ("subscriptions", "orders", ABSENT)
