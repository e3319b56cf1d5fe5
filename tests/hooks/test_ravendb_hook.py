"""The Test button of a RavenDB Connection against a real secured server."""

from __future__ import annotations

from typing import Any

import pytest

from demo.sandbox import RavenServer
from raven_backup_provider.hooks.ravendb import RavenDBHook
from tests.support.airflow_fixtures import SetConnection
from tests.support.servers import MakeDatabase

pytestmark = pytest.mark.integration


@pytest.fixture
def press_test(raven71_tls: RavenServer, set_connection: SetConnection) -> Any:
    def test(*, host: str | None = None, extra: dict[str, Any] | None = None, **fields: Any) -> tuple[bool, str]:
        trusted = {"ca_path": str(raven71_tls.ca_pem), **(extra or {})}
        conn_id = set_connection("r", "ravendb", host=host or raven71_tls.url, extra=trusted, **fields)
        return RavenDBHook(conn_id).test_connection()

    return test


def test_it_says_version_node_clearance_and_what_the_licence_lacks(
    press_test: Any, raven71_tls: RavenServer, database: MakeDatabase
) -> None:
    name = database(raven71_tls)
    pem = raven71_tls.admin_certificate.pem.read_text()
    good, message = press_test(extra={"client_private_key_pem": pem}, schema=name)
    assert good, message
    for words in ("RavenDB 7.1.5", "node A", "clearance Cluster", "AGPL", "without snapshots", f"'{name}' is there"):
        assert words in message


def test_it_says_what_a_lesser_certificate_may_do(
    press_test: Any, raven71_tls: RavenServer, database: MakeDatabase
) -> None:
    name = database(raven71_tls)
    bob = raven71_tls.client_certificate("bob", clearance="ValidUser", permissions={name: "Admin"})
    good, message = press_test(extra={"client_certificate_path": str(bob.pem)})
    assert good, message
    assert "clearance ValidUser" in message
    assert f"Admin on '{name}'" in message


def test_a_pfx_with_its_password_works(press_test: Any, raven71_tls: RavenServer) -> None:
    certificate = raven71_tls.admin_certificate
    good, message = press_test(
        password=certificate.password, extra={"client_certificate_path": str(certificate.protected_pfx)}
    )
    assert good, message


@pytest.mark.parametrize("case", ["no certificate", "unknown certificate", "no CA", "no such database", "nobody there"])
def test_a_connection_that_does_not_work_says_why_and_what_to_do(
    case: str, press_test: Any, raven71_tls: RavenServer
) -> None:
    admin = {"client_certificate_path": str(raven71_tls.admin_certificate.pem)}
    stranger = {"client_certificate_path": str(raven71_tls.stranger_certificate().pem)}
    fields, words = {
        "no certificate": ({}, "Put the certificate"),
        "unknown certificate": ({"extra": stranger}, "certificate"),
        "no CA": ({"extra": {**admin, "ca_path": ""}}, "not trusted"),
        "no such database": ({"extra": admin, "schema": "nope"}, "Database 'nope' does not exist"),
        "nobody there": ({"extra": admin, "host": "https://127.0.0.1:1"}, "refuses the connection"),
    }[case]
    good, message = press_test(**fields)
    assert not good
    assert words in message


def test_switching_verification_off_is_possible_and_explicit(press_test: Any, raven71_tls: RavenServer) -> None:
    extra = {"client_certificate_path": str(raven71_tls.admin_certificate.pem), "ca_path": "", "verify": False}
    good, message = press_test(extra=extra)
    assert good, message
