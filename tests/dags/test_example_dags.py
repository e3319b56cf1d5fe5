"""The example DAGs: they parse quickly without a network, the same each time, and their forms open without errors."""

from __future__ import annotations

import inspect
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

DAGS = Path(__file__).resolve().parents[2] / "dags"
IDS = (
    "ravendb_audit",
    "ravendb_copy",
    "ravendb_full_backup",
    "ravendb_incremental_backup",
    "ravendb_native_server_wide_task",
    "ravendb_native_task",
    "ravendb_restore",
    "ravendb_retention",
    "ravendb_server_made_backup",
    "ravendb_snapshot_backup",
    "ravendb_verify",
)


def read_dags() -> DagBag:
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(str(DAGS))


def slow_files(bag: DagBag) -> set[str]:
    return {str(stat.file) for stat in bag.dagbag_stats if stat.duration.total_seconds() >= 1}


@pytest.fixture(scope="module")
def bag(airflow_home: Path) -> DagBag:
    def refuse(*arguments: Any, **_: Any) -> None:
        raise AssertionError(f"a network call while a DAG file is parsed: {arguments}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        patch.setattr(socket, "getaddrinfo", refuse)
        return read_dags()


def test_all_of_them_import_with_the_network_blocked(bag: DagBag) -> None:
    assert bag.import_errors == {}
    assert tuple(sorted(bag.dags)) == IDS


def test_each_file_parses_in_under_a_second(bag: DagBag) -> None:
    slow = slow_files(bag)
    for _ in range(3):  # a busy machine is slow once, a heavy file always
        slow = slow and slow & slow_files(read_dags())
    assert slow == set()


@pytest.mark.parametrize("name", IDS)
def test_a_fresh_process_imports_the_file_with_little_beyond_airflow_itself(name: str) -> None:
    """What every task start pays on top of Airflow; the HTTP client, hooks and jobs wait until the task runs."""
    code = (
        "import sys, time, runpy, airflow.sdk, airflow.triggers.shared_stream;"
        "begun = time.process_time(); before = set(sys.modules);"  # of the processor: others may use the machine, too
        f"runpy.run_path({str(DAGS / (name + '.py'))!r}); took = time.process_time() - begun;"
        "print(took); print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    took, modules = done.stdout.splitlines()[-2:]
    assert float(took) < 1.0
    heavy = {"requests", "urllib3", "cryptography", "nacl", "zstandard", "pydantic_core"} & set(modules.split())
    assert not heavy - {"pydantic_core"}, f"{heavy} should be imported when the task runs"
    assert not [
        m for m in modules.split() if m.startswith(("raven_backup_provider.jobs.", "raven_backup_provider.raven."))
    ]


@pytest.mark.parametrize("name", IDS)
def test_parsing_again_gives_the_same_bytes(bag: DagBag, name: str) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    first, second = (json.dumps(DagSerialization.to_dict(one.dags[name]), sort_keys=True) for one in (bag, read_dags()))
    assert first == second


@pytest.mark.parametrize("name", IDS)
def test_each_is_ready_to_enable(bag: DagBag, name: str) -> None:
    dag = bag.dags[name]
    assert dag.doc_md
    assert "ravendb" in dag.tags
    assert dag.max_active_runs == 1
    assert dag.catchup is False
    assert all(task.retries >= 1 for task in dag.tasks)


@pytest.mark.parametrize("name", IDS)
def test_the_form_opens_without_an_error_and_explains_each_field(bag: DagBag, name: str) -> None:
    dag = bag.dags[name]
    for key in dag.params:
        param = dag.params.get_param(key)
        assert param.schema.get("title"), f"{key} has no title"
        assert param.description, f"{key} has no description"
        if (name, key) != ("ravendb_restore", "target"):  # the one field a user must fill in
            param.resolve()
    assert ("target" in dag.params) == (name == "ravendb_restore")


def test_a_restore_without_a_target_is_refused_by_the_form(bag: DagBag) -> None:
    from airflow.sdk.exceptions import ParamValidationError

    with pytest.raises(ParamValidationError):
        bag.dags["ravendb_restore"].params.get_param("target").resolve()


@pytest.mark.parametrize("name", IDS)
def test_no_field_and_no_argument_takes_a_secret_itself(bag: DagBag, name: str) -> None:
    dag = bag.dags[name]
    assert [key for key in dag.params if "key" in key and not key.endswith("_conn_id")] == []
    for task in dag.tasks:
        assert [f for f in task.template_fields if "key" in f and not f.endswith("_conn_id")] == []


@pytest.mark.parametrize("name", IDS)
def test_every_field_of_the_form_reaches_an_operator(bag: DagBag, name: str) -> None:
    dag = bag.dags[name]
    texts = " ".join(_arguments(task) for task in dag.tasks)
    # The copies are mapped by a task that reads its field itself.
    fields = [key for key in dag.params if (name, key) != ("ravendb_copy", "destinations")]
    assert [key for key in fields if f"params.{key}" not in texts and f"['{key}']" not in texts] == []


def _arguments(task: Any) -> str:
    """What a task is given, as text; of a function its own text."""
    if task.is_mapped:
        return str(task.partial_kwargs)
    function = getattr(task, "python_callable", None)
    source = inspect.getsource(function).replace('"', "'") if function is not None else ""
    return source + " ".join(str(getattr(task, field)) for field in task.template_fields)
