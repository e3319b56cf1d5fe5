"""What docker-compose.yaml runs once before Airflow starts: the bucket, the container and a first database of the try-out stack.

Everything is left as it is where it is there already. Settings, all from the environment: RAVENDB_URL, and the Connections
ravendb_s3 and ravendb_azure that the stack defines.
"""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Mapping
from typing import Any

DATABASE = "demo"
TIMEOUT_SECONDS = 60


def main() -> None:
    """Make what is missing."""
    make_bucket("ravendb_s3")
    make_container("ravendb_azure")
    make_database(os.environ["RAVENDB_URL"])


def make_bucket(conn_id: str) -> None:
    """The bucket that the Connection names."""
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    hook = S3Hook(aws_conn_id=conn_id)
    bucket = _place(conn_id)
    if not hook.check_for_bucket(bucket):
        hook.create_bucket(bucket_name=bucket)


def make_container(conn_id: str) -> None:
    """The container that the Connection names."""
    from airflow.providers.microsoft.azure.hooks.wasb import WasbHook

    service, name = WasbHook(wasb_conn_id=conn_id).get_conn(), _place(conn_id)
    if not service.get_container_client(name).exists():
        service.create_container(name)


def make_database(url: str) -> None:
    """A database with RavenDB's own sample data, if there is none of that name."""
    if DATABASE in _call("GET", f"{url}/databases?namesOnly=true")["Databases"]:
        return
    _call("PUT", f"{url}/admin/databases?name={DATABASE}&replicationFactor=1", {"DatabaseName": DATABASE})
    _call("POST", f"{url}/databases/{DATABASE}/studio/sample-data")


def _place(conn_id: str) -> str:
    from airflow.sdk import Connection

    return str(Connection.get(conn_id).extra_dejson["raven_backup"]["place"])


def _call(method: str, url: str, body: Mapping[str, Any] | None = None) -> Any:
    request = urllib.request.Request(
        url, method=method, data=json.dumps(body or {}).encode() if method != "GET" else None
    )
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
        text = answer.read()
    return json.loads(text) if text else None


if __name__ == "__main__":
    main()
