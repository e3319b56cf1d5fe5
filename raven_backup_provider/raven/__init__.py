"""HTTP to a RavenDB server: one file per group of endpoints. Knows no Airflow and no destination."""
