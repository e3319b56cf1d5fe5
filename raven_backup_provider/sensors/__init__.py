"""Thin Airflow sensors: waiting for what a RavenDB server does by itself."""
