"""The verify operator over real backups, whole and damaged."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from demo.sandbox import data
from raven_backup_provider.core.encryption import EncryptionKey
from raven_backup_provider.operators.backup import RavenDBBackupOperator
from raven_backup_provider.operators.tombstone_guard import RavenDBRemoveTombstoneGuardOperator
from raven_backup_provider.operators.verify import RavenDBVerifyBackupOperator
from tests.operators.conftest import Place

pytestmark = pytest.mark.integration


@pytest.fixture
def chain(place: Place, key: EncryptionKey) -> Place:
    """An encrypted full with an incremental."""
    operator = RavenDBBackupOperator(task_id="t", encryption_key_conn_id="backup_key", **place.arguments)
    operator.execute({})
    data.put_document(place.server, place.database, "items/new", {})
    operator.execute({})
    return place


def verify(**arguments: Any) -> dict[str, Any]:
    arguments = {"destination": "ravendb_backups", "encryption_key_conn_id": "backup_key", **arguments}
    result: dict[str, Any] = RavenDBVerifyBackupOperator(task_id="t", **arguments).execute({})
    return result


def test_whole_backups_are_valid_and_the_result_is_small(chain: Place) -> None:
    result = verify()
    assert (result["ok"], result["files"], result["verdicts"], result["bad"]) == (True, 2, {"valid": 2}, [])
    assert result["bytes_read"] == sum(point.manifest.file.size for point in chain.points())
    assert json.loads(json.dumps(result)) == result


def test_it_needs_no_server(chain: Place, set_connection: Any) -> None:
    set_connection("ravendb_default", "ravendb", host="http://127.0.0.1:1")
    assert verify(database=chain.database)["ok"] is True


def test_one_flipped_bit_names_the_file_and_fails_for_good(chain: Place) -> None:
    first = chain.root / chain.points()[0].key
    content = bytearray(first.read_bytes())
    content[-10] ^= 1
    first.chmod(0o600)
    first.write_bytes(content)
    with pytest.raises(AirflowFailException, match=first.name):
        verify()


def test_keys_may_be_several_where_the_key_has_changed(chain: Place, set_connection: Any) -> None:
    set_connection("new_key", "ravendb_backup_key", password=EncryptionKey.generate().base64())
    RavenDBBackupOperator(task_id="t", encryption_key_conn_id="new_key", **chain.arguments).execute({})
    assert verify(encryption_key_conn_id="backup_key, new_key")["files"] == 3
    with pytest.raises(AirflowFailException):
        verify(encryption_key_conn_id="new_key")


def test_a_sample_reads_only_its_part(chain: Place) -> None:
    parts = [verify(sample=f"{n}/2")["bytes_read"] for n in (1, 2)]
    assert sum(parts) == sum(point.manifest.file.size for point in chain.points())


def test_an_unknown_database_fails_and_lists_what_is_there(chain: Place) -> None:
    with pytest.raises(AirflowFailException, match=chain.database):
        verify(database="nope")


def test_the_guard_can_be_removed_and_the_next_backup_is_then_a_full_that_says_why(chain: Place) -> None:
    remove = RavenDBRemoveTombstoneGuardOperator(task_id="t", database=chain.database)
    assert remove.execute({}) == {"database": chain.database, "removed": True}
    assert remove.execute({}) == {"database": chain.database, "removed": False}
    data.put_document(chain.server, chain.database, "items/newer", {})
    result = RavenDBBackupOperator(task_id="t", encryption_key_conn_id="backup_key", **chain.arguments).execute({})
    assert result["kind"] == "full"
    assert "guard" in result["reason"]
