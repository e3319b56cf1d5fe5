"""Thin Airflow operators: arguments, templating, deferral, outlets; each calls one job."""
