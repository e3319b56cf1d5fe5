"""Server-wide backup: a configuration and an inventory become one DAG per database. Nothing is imported here.

Modules that speak of DAGs (``*_dag``, ``*_tasks``, ``build``) import Airflow; the others do not: the command line uses them.
"""
