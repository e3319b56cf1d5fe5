"""``python -m raven_backup_provider.cli`` is ``raven-backup``."""

from __future__ import annotations

import sys

from raven_backup_provider.cli import main

sys.exit(main())
