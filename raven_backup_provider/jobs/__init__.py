"""One use case a file, without Airflow: operators, command line and tests run the same code."""
