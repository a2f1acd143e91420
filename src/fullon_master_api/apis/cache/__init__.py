"""Latest state: tickers, orders, balances, positions, bots, processes."""
