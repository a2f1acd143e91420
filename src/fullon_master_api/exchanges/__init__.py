"""Exchanges behind one adapter: any of ccxt, or the paper exchange."""
