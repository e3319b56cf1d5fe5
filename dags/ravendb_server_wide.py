"""Server-wide backup: one Airflow DAG for each database of each server that the configuration names; see docs/server-wide.md.

Put a configuration (``*.yaml``) into the folder ``ravendb_server_wide`` beside this file, or name another folder in
``RAVEN_BACKUP_CONFIG``. The lists of databases are kept in ``RAVEN_BACKUP_INVENTORY``, by default its subfolder ``inventory``;
workers and the DAG processor must both see it; where they share no disk, set it to ``variable:raven_backup``. Without a
configuration there are no DAGs.
"""

from __future__ import annotations

import os
from pathlib import Path

from raven_backup_provider.server_wide.build import build_dags

CONFIG = Path(os.environ.get("RAVEN_BACKUP_CONFIG") or Path(__file__).resolve().parent / "ravendb_server_wide")
INVENTORY = os.environ.get("RAVEN_BACKUP_INVENTORY") or str(CONFIG / "inventory")

globals().update(build_dags(config_folder=CONFIG, inventory=INVENTORY))
