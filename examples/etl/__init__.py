"""Load a year of flights into a database, and find out what made them late: an ETL of shell, SQL and Python steps."""
