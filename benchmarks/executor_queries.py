"""What `executor.py` asks of the real stores, by our names and by those of PostGraphile."""

ME = 4
"""The user who asks."""
OTHER = 5
STORE_QUERIES = {
    "Q1": """{ symbol(exchange: "kraken", symbol: "C7/USD") {
      candles(timeframe: MINUTE_1, limit: 1000) { openedAt open high low close volume } } }""",
    "Q2": """{ me { bots(first: 10) { nodes { name orders(first: 50) { nodes {
      orderId side status quantity price filledQuantity createdAt dryRun symbol { base quote } } } } } } }""",
    "Q3": """{ symbols(first: 200) { nodes { symbolId symbol base quote priceDecimals quantityDecimals active futures
      ticker { bid ask last volume updatedAt } } } }""",
    "Q4": "{ me { userId mail } }",
}
POSTGRAPHILE = {
    "Q1": """{ marketSeryByExchangeAndSymbol(exchange: "kraken", symbol: "C7/USD") {
      marketCandlesBySeriesId(condition: { timeframeS: 60 }, orderBy: OPENED_S_DESC, first: 1000) {
        nodes { openedS open high low close volume } } } }""",
    "Q2": """{ userByUid(uid: "4") { botsByUid(first: 10) { nodes { name
      ordersByBotId(first: 50, orderBy: ORDER_ID_DESC) { nodes {
        orderId side status volume price finalVolume createdAt dryRun symbolByCatExIdAndSymbol { base quote } } } } } } }""",
    "Q3": """{ allSymbols(first: 200) { nodes { symbolId symbol base quote decimals quantityDecimals active futures
      benchTickerBySymbolId { bid ask last volume updatedAt } } } }""",
    "Q4": '{ userByUid(uid: "4") { uid mail } }',
}
"""The same data by PostGraphile's names. Tickers, which we keep in the cache, are a table there."""
