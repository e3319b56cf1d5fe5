"""RavenDB backups run by Apache Airflow.

Nothing is imported here, least of all Airflow: provider discovery loads this file while Airflow's configuration is
still being read, and an import of Airflow at that moment breaks every ``airflow`` command.
"""

__version__ = "0.1.0"
