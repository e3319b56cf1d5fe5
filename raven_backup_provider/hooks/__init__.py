"""Airflow Connections turned into ready clients."""
