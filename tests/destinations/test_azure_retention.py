"""Retention in a container, on Azurite; Azurite forgets immutability, so the answers of the service are given for it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from raven_backup_provider.core.chain_marks import hold_name
from raven_backup_provider.core.destination import Destination
from raven_backup_provider.core.pruned_chains import pruned_key
from raven_backup_provider.destinations.azure import AzureDestination
from raven_backup_provider.jobs.prune_report import Outcome
from tests.destinations.azure_places import is_look, open_places
from tests.destinations.retention_contract import MIDDLE, OLD, RetentionContract, plant_at, prune_at
from tests.support.azurite import Azurite
from tests.support.http_faults import change_answer
from tests.support.planted_chains import files_of


class TestAzureRetention(RetentionContract):
    @pytest.fixture
    def container(self, azurite: Azurite) -> str:
        return azurite.new_container()

    @pytest.fixture
    def destination(self, azurite: Azurite, container: str) -> Destination:
        return AzureDestination(azurite.client(), container, "some/backups")

    @pytest.fixture
    def same_place(self, azurite: Azurite, container: str) -> Destination:
        return AzureDestination(azurite.client(), container, "some/backups")


def test_a_chain_with_an_immutable_file_is_skipped_with_the_date_and_follows_when_that_has_passed(
    azurite: Azurite,
) -> None:
    until = (datetime.now(timezone.utc) + timedelta(days=40)).replace(microsecond=0)
    policy = {
        "x_ms_immutability_policy_until_date": format_datetime(until, usegmt=True),
        "x_ms_immutability_policy_mode": "unlocked",
    }
    key = files_of(OLD)[2].key
    for places in open_places(azurite):
        place = places.faulty()
        plant_at(place)
        places.proxy.on(
            lambda request: is_look(request) and key.rpartition("/")[2] in request.path and OLD.folder in request.path,
            change_answer(lambda found: found.with_headers(**policy)),
        )
        report = prune_at(place)
        report.raise_if_failed()
        [skipped] = report.results(Outcome.SKIPPED)
        assert skipped.decision.folder == OLD.folder
        assert f"protected until {until:%Y-%m-%d %H:%M:%S} UTC" in skipped.note
        assert [one.decision.folder for one in report.results(Outcome.DELETED)] == [MIDDLE.folder]
        later = prune_at(places.direct())
        later.raise_if_failed()
        assert [one.decision.folder for one in later.results(Outcome.DELETED)] == [OLD.folder]


def test_where_new_files_are_made_immutable_those_that_later_runs_rewrite_are_not(azurite: Azurite) -> None:
    """Azurite takes the policy and forgets it, which the destination refuses: so what asks for none succeeds."""
    for places in open_places(azurite):
        place = places.direct(immutable_days=30, legal_hold=True)
        for key in (f"{OLD.folder}/{hold_name('0' * 8)}", f"{OLD.folder}/2026-03-01-01-00-00.deleting.json"):
            place.put(key, b"{}")
            place.delete([key])
        for _ in range(2):
            place.put(pruned_key("shop"), b"{}", replace=True)
