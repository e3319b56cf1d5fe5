"""A browser in front of a whole Airflow with the example DAGs and a real RavenDB behind it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from demo.airflow_api import AirflowApi
from demo.airflow_server import USER
from demo.sandbox import RavenServer
from demo.sandbox.debian import ensure_program
from tests.support.live_airflow import QuickAirflow

DAGS = Path(__file__).resolve().parents[2] / "dags"
#: Milliseconds; a page of Airflow takes seconds on a loaded machine with two cores.
PATIENCE = 120_000
#: No sandbox, as root has none in a container; nothing that looks for hosts outside.
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass
class Stage:
    """What the tests of one file share."""

    server: RavenServer
    airflow: QuickAirflow
    api: AirflowApi
    backups: Path


@pytest.fixture(scope="module")
def stage(raven71_tls: RavenServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Airflow with the repository's example DAGs and their Connections."""
    backups = tmp_path_factory.mktemp("backups")
    secured = {
        "client_private_key_pem": raven71_tls.admin_certificate.pem.read_text(),
        "ca_pem": raven71_tls.ca_pem.read_text(),
    }
    connections: dict[str, dict[str, Any]] = {
        "ravendb_default": {"conn_type": "ravendb", "host": raven71_tls.url, "extra": secured},
        "ravendb_backups": {"conn_type": "ravendb_backup_folder", "extra": {"path": str(backups)}},
    }
    home = tmp_path_factory.mktemp("airflow")
    with QuickAirflow(home, dags=DAGS, connections=connections) as airflow:
        airflow.wait_until_ready()
        api = AirflowApi(airflow)
        api.wait_for_dags(["ravendb_full_backup", "ravendb_verify"])
        yield Stage(raven71_tls, airflow, api, backups)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    program = ensure_program("chromium", package="chromium")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=str(program), args=_FLAGS)
        yield found
        found.close()


@pytest.fixture(scope="module")
def signed_in(stage: Stage, browser: Browser) -> Iterator[BrowserContext]:
    """One person's browser, signed in. All tests share what it has loaded: the interface's scripts are large."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000}, locale="en-US", reduced_motion="reduce")
    context.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    found = context.new_page()
    found.goto(stage.airflow.url)
    found.locator("input[name=username]").fill(USER)
    found.locator("input[name=password]").fill(stage.airflow.password)
    found.locator("button[type=submit]").click()
    found.get_by_role("link", name="Dags", exact=True).first.wait_for()
    found.close()
    yield context
    context.close()


@pytest.fixture
def page(signed_in: BrowserContext, tmp_path: Path) -> Iterator[Page]:
    """A page of its own. When a test fails, its picture and its text say what was to be seen."""
    found = signed_in.new_page()
    yield found
    picture = tmp_path / "last.png"
    found.screenshot(path=picture)
    print(f"The page at the end of the test is in {picture}. Its text:\n{found.inner_text('body')}")
    found.close()
