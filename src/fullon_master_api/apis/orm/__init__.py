"""Users, exchanges, symbols, bots, strategies, orders, trades: kept in SQL."""
