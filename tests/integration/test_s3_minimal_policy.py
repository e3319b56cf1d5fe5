"""What each job needs on S3, enforced by moto: the policy of RavenDB's documentation, and the two that our own page prints.

With RavenDB's a backup succeeds; verify, restore and prune fail with the name of the right they lack. moto does not evaluate a
policy's conditions, so the one on ``s3:prefix`` in our page is not proven here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.sandbox import RavenServer, data
from demo.sandbox.database_state import database_state
from tests.cli.conftest import Answer, RavenBackup, own_logging, raven_backup
from tests.support.airflow_fixtures import SetConnection
from tests.support.backups import put_some
from tests.support.restores import assert_equal
from tests.support.s3_servers import MotoServer, moto_server
from tests.support.servers import MakeDatabase

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
__all__ = ["own_logging", "raven_backup"]

PAGE = Path(__file__).parents[2] / "docs" / "destinations-s3.md"


def ravendbs_policy(bucket: str) -> dict[str, Any]:
    """As RavenDB's documentation prints it for backups to S3."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "VisualEditor0",
                "Effect": "Allow",
                "Action": "s3:PutObject",
                "Resource": f"arn:aws:s3:::{bucket}/*",
            },
            {
                "Sid": "VisualEditor1",
                "Effect": "Allow",
                "Action": ["s3:ListBucket", "s3:GetBucketAcl", "s3:GetBucketLocation"],
                "Resource": f"arn:aws:s3:::{bucket}",
            },
        ],
    }


def with_more(policy: dict[str, Any], *actions: str) -> dict[str, Any]:
    """The policy, and these rights everywhere."""
    more = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    return {**policy, "Statement": [*policy["Statement"], more]}


def our_policies(bucket: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What our page prints: enough to back up, and enough for all jobs."""
    blocks = re.findall(r"```json\n(.*?)```", PAGE.read_text().replace("my-bucket", bucket), re.DOTALL)
    least, most = (json.loads(block) for block in blocks if '"Statement"' in block)
    return least, most


Run = Callable[..., Answer]


class Enforcing:
    """A bucket whose users have the rights of their policies and no others."""

    def __init__(self, moto: MotoServer) -> None:
        self.moto, self.bucket = moto, moto.new_bucket()
        ravendbs, (least, most) = ravendbs_policy(self.bucket), our_policies(self.bucket)
        policies = {
            "ravendbs": ravendbs,
            "reader": with_more(ravendbs, "s3:GetObject"),
            "least": least,
            "most": most,
        }
        self.keys = {user: moto.user_with_policy(user, policy) for user, policy in policies.items()}
        moto.enforce()


@pytest.fixture(scope="module")
def enforcing() -> Iterator[Enforcing]:
    with moto_server() as moto:
        yield Enforcing(moto)


@pytest.fixture
def run(enforcing: Enforcing, set_connection: SetConnection, raven_backup: RavenBackup) -> Run:
    """``run("ravendbs", "backup", ...)``: the command with that user's keys."""
    for user, (key, secret) in enforcing.keys.items():
        extra = {"endpoint_url": enforcing.moto.url, "region_name": "us-east-1", "verify": enforcing.moto.ca}
        set_connection(f"as_{user}", "aws", login=key, password=secret, extra=extra)

    def as_user(user: str, verb: str, *arguments: str | Path) -> Answer:
        address = f"s3://as_{user}@{enforcing.bucket}/ravendb?part_mb=5&retry_seconds=2"
        return raven_backup(verb, "--destination", address, *arguments)

    return as_user


PRUNE = ("--keep-last", "1", "--grace-hours", "0", "--max-delete-share", "1")


def test_with_ravendbs_policy_a_backup_succeeds_and_every_other_job_names_the_right_it_lacks(
    raven71: RavenServer, database: MakeDatabase, run: Run
) -> None:
    shop = database(raven71, "shop")
    put_some(raven71, shop)
    server, of = ("--url", raven71.url), ("--database", shop)
    first = run("ravendbs", "backup", *of, *server, "--json")
    assert (first.code, first.document["kind"]) == (0, "full"), first.err
    put_some(raven71, shop, start=3)
    original = database_state(raven71, shop)
    second = run("ravendbs", "backup", *of, *server, "--json")
    assert (second.code, second.document["kind"]) == (0, "full"), second.err
    assert "manifests of earlier backups cannot be read" in second.document["reason"]
    assert "s3:GetObject" in second.document["reason"]
    assert "Every backup will be a full" in json.dumps(second.document["warnings"])

    target = database(raven71, "restored", create=False)
    restore = ("restore", *of, *server, "--target", target)
    for job in (("list", *of), ("verify", *of), ("prune", *of, *PRUNE), ("prune", *of, *PRUNE, "--dry-run"), restore):
        refused = run("ravendbs", *job)
        assert refused.code == 1
        assert "s3:GetObject" in refused.out + refused.err

    assert run("reader", "verify", *of).code == 0
    planned = run("reader", "prune", *of, *PRUNE, "--dry-run", "--json").document
    assert planned["ok"]
    assert [str(first.document["file"]).rpartition("/")[0]] == deletable(planned)
    refused = run("reader", "prune", *of, *PRUNE)
    assert refused.code == 1
    assert "s3:DeleteObject" in refused.out + refused.err
    assert len(run("reader", "list", *of, "--json").document["databases"][0]["points"]) == 2

    assert run("reader", *restore).code == 0
    assert_equal(original, database_state(raven71, target), incrementals=0)


def deletable(document: dict[str, Any]) -> list[str]:
    """Keys of the folders that a prune would delete."""
    folders = [one for database in document["databases"] for one in database["folders"]]
    return [one["folder"] for one in folders if one["verdict"] == "would delete"]


def test_the_policies_that_our_page_prints_are_enough_for_what_it_says(
    raven71: RavenServer, database: MakeDatabase, run: Run
) -> None:
    shop = database(raven71, "shop")
    put_some(raven71, shop)
    server, of = ("--url", raven71.url), ("--database", shop)
    assert run("least", "backup", *of, *server).code == 0
    assert "s3:GetObject" in run("least", "verify", *of).err
    kinds = []
    for number in range(1, 3):
        put_some(raven71, shop, start=3 * number)
        kinds.append(run("most", "backup", *of, *server, "--json").document["kind"])
    assert kinds == ["incremental", "incremental"]
    put_some(raven71, shop, start=9)
    assert run("most", "backup", *of, *server, "--kind", "full").code == 0
    assert run("most", "verify", *of).code == 0
    pruned = run("most", "prune", *of, *PRUNE)
    assert pruned.code == 0, pruned.out + pruned.err
    (point,) = run("most", "list", *of, "--json").document["databases"][0]["points"]
    assert point["kind"] == "full"
    assert data.statistics(raven71, shop)["CountOfDocuments"] == 12
