"""Market trades and candles: kept in SQL of their own."""
