"""A local exchange that speaks Kraken's wire protocol, for demos, dry runs and tests."""
