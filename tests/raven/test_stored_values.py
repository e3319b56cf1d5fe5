"""RavenDB quotes what it has stored in some errors; none of it may reach a message."""

from __future__ import annotations

import json
from typing import Any

import pytest

from raven_backup_provider.raven.error_mapping import ErrorAnswer, error_of_answer


def answered(**value: Any) -> str:
    body = {"Type": "Raven.Server.Rachis.RachisApplyException", **value}
    answer = ErrorAnswer(500, json.dumps(body).encode(), "DELETE", "http://a", "/admin/configuration/server-wide/task")
    return str(error_of_answer(answer))


def test_the_other_tasks_that_ravendb_quotes_when_one_is_not_there_are_cut_off() -> None:
    """Seen on 5.4.207: asked to delete an unknown server-wide task, it answers with all of them."""
    quoted = '{"sw":{"S3Settings":{"AwsSecretKey":"planted-secret"}}}'
    text = answered(Message=f"The server wide task to delete doesn't exist: raftIndex 40, previousValue {quoted}")
    assert "doesn't exist" in text
    assert "planted-secret" not in text


def test_the_reason_that_the_cluster_wraps_is_told() -> None:
    inner = "Can't use task name 'nightly', there is already a Periodic Backup task with that name"
    error = (
        f"X: Failed to update database record.\n ---> Raven.Server.Rachis.RachisApplyException: {inner}\n   at Raven"
    )
    assert inner in answered(Message="Failed to update database record.", Error=error)


@pytest.mark.parametrize("error", ["", "X: Failed to update database record.\n   at Raven.Server"])
def test_without_such_a_reason_the_message_stays(error: str) -> None:
    assert "Failed to update database record." in answered(Message="Failed to update database record.", Error=error)
