"""The changes of the SQL schema, in order; run by `migrate.py`."""
