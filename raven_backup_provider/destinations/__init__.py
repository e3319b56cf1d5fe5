"""One file per store. Knows no Airflow and no RavenDB server."""
