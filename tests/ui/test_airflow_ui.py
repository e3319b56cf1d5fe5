"""What a person sees and clicks: the example DAGs, the connection form and its Test button, the trigger form, the log."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from demo.sandbox import RavenServer, data
from tests.support.servers import MakeDatabase
from tests.ui.conftest import Stage

pytestmark = [pytest.mark.ui, pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]

FULL = "ravendb_full_backup"


def _start_from_the_form(page: Page, stage: Stage, dag_id: str, **fields: str) -> None:
    page.goto(f"{stage.airflow.url}/dags/{dag_id}")
    page.get_by_role("button", name="Trigger").first.click()
    form = page.get_by_role("dialog")
    for name, value in fields.items():
        form.locator(f"[name=element_{name}]").fill(value)
    form.get_by_role("button", name="Trigger").last.click()
    page.wait_for_url(re.compile(rf"/dags/{dag_id}/runs/"))


def _open_the_log(page: Page, task_id: str) -> None:
    page.get_by_role("link", name=task_id, exact=True).last.click()
    page.wait_for_url(re.compile(rf"/tasks/{task_id}"))


def test_the_example_dags_are_listed_and_explain_themselves(page: Page, stage: Stage) -> None:
    page.goto(f"{stage.airflow.url}/dags")
    for dag_id in (FULL, "ravendb_incremental_backup", "ravendb_restore", "ravendb_snapshot_backup", "ravendb_verify"):
        expect(page.get_by_role("link", name=dag_id, exact=True).first).to_be_visible()
    assert "Import Error" not in page.inner_text("body")
    page.goto(f"{stage.airflow.url}/dags/{FULL}")
    page.get_by_role("button", name=re.compile("Dag Docs", re.IGNORECASE)).first.click()
    expect(page.get_by_text("Full backup of a RavenDB database")).to_be_visible()
    expect(page.get_by_text("Before you enable it")).to_be_visible()


def test_a_connection_made_in_the_form_reaches_the_server_when_its_test_button_is_pressed(
    page: Page, stage: Stage
) -> None:
    page.goto(f"{stage.airflow.url}/connections")
    page.get_by_role("button", name="Add Connection").click()
    form = page.get_by_role("dialog")
    form.locator("input[name=connection_id]").fill("by_hand")
    form.get_by_role("combobox").click()
    page.keyboard.type("RavenDB")
    page.get_by_role("option", name="RavenDB", exact=True).click()
    form.locator("input[name=host]").fill("localhost")
    form.locator("input[name=port]").fill(str(stage.server.port))
    form.get_by_role("button", name="Extra Fields", exact=True).click()
    form.locator("[name=element_client_private_key_pem]").fill(stage.server.admin_certificate.pem.read_text())
    form.locator("[name=element_ca_pem]").fill(stage.server.ca_pem.read_text())
    form.get_by_role("button", name="Save").click()
    row = page.get_by_role("row").filter(has_text="by_hand")
    row.get_by_role("button", name="Test Connection").click()
    said = re.compile(
        r"RavenDB 7\.1\.5 \(build 71028\) answers as .* at https://localhost:\d+; certificate '.*', clearance "
    )
    expect(page.get_by_text(said).first).to_be_visible()
    expect(page.get_by_text("Test Connection Successful")).to_be_visible()
    assert "PRIVATE KEY" not in page.content()


def test_a_backup_started_from_the_trigger_form_succeeds_and_its_log_says_what_was_made(
    page: Page, stage: Stage, database: MakeDatabase
) -> None:
    name = database(stage.server, "clicked")
    data.put_document(stage.server, name, "items/1", {"n": 1})
    _start_from_the_form(page, stage, FULL, database=name)
    expect(page.get_by_text("Success", exact=True).first).to_be_visible()
    _open_the_log(page, "full_backup")
    expect(page.get_by_text(re.compile(rf"Taking a backup of {name} \(full\)"))).to_be_visible()
    expect(page.get_by_text(re.compile(rf"Made {name}/.*bytes, SHA-256"))).to_be_visible()
    assert len(list(stage.backups.glob(f"{name}/*/*.manifest.json"))) == 1


def test_a_run_for_a_database_that_is_not_there_fails_at_once_and_its_log_names_the_remedy(
    page: Page, stage: Stage
) -> None:
    _start_from_the_form(page, stage, FULL, database="no-such-shop")
    expect(page.get_by_text("Failed", exact=True).first).to_be_visible()
    _open_the_log(page, "full_backup")
    expect(page.get_by_text(re.compile(r"'no-such-shop' does not exist at .*Check the name")).first).to_be_visible()


def test_the_forms_switches_reach_the_backup(
    page: Page, stage: Stage, raven71_tls: RavenServer, database: MakeDatabase
) -> None:
    name = database(raven71_tls, "plain")
    data.put_document(raven71_tls, name, "items/1", {"n": 1})
    folder = stage.backups / "elsewhere"
    folder.mkdir()
    _start_from_the_form(page, stage, FULL, database=name, destination=str(folder))
    expect(page.get_by_text("Success", exact=True).first).to_be_visible()
    assert len(list(folder.glob(f"{name}/*/*.ravendb-full-backup"))) == 1
