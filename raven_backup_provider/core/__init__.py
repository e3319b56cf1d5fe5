"""The rules: pure code that knows neither the network nor Airflow."""
