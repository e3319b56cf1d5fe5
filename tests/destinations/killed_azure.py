"""A process that works on an Azure destination until it is killed.

    python -m tests.destinations.killed_azure <endpoint> <container> upload|hold

``upload`` writes :data:`CONTENT` as a copy does; ``hold`` holds the right to write below ``shop`` and says so.
"""

from __future__ import annotations

import random
import sys
import time

from raven_backup_provider.destinations.azure import AzureDestination
from raven_backup_provider.destinations.azure_settings import AzureSettings
from tests.destinations.azure_places import BLOCK, upload
from tests.support.azurite import Azurite

CONTENT = random.Random(7).randbytes(10 * BLOCK + 1000)
LEASE_SECONDS = 15


def main(endpoint: str, container: str, action: str) -> None:
    place = AzureDestination(
        Azurite().client(endpoint),
        container,
        "root",
        settings=AzureSettings(block_bytes=BLOCK, concurrency=1),
        lease_seconds=LEASE_SECONDS,
    )
    if action == "upload":
        upload(place, CONTENT)
        return
    with place.exclusive("shop"):
        print("held", flush=True)
        time.sleep(600)


if __name__ == "__main__":
    main(*sys.argv[1:])
