"""The SQL of the candle store, written once for PostgreSQL and SQLite.

Parameters are `$1` …; `KEYS($1)` is a list of (exchange, symbol), `INTS($1)` and `WORDS($1)` lists of values. `THEN JOIN table t
ON [[condition]]` walks an index for each row of its left side. Both engines must be told: SQLite has no statistics,
PostgreSQL has none of a table that was just filled, and each then read whole series for every item of a short list.
`sqlite_sql` and `postgres_sql` turn these into what their engine takes.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from fullon_master_api.apis.ohlcv.numbers import PART
from fullon_master_api.model import CandleSource

SCALE: Final = "s.price_exponent + 100 * s.quantity_exponent + 10000 * s.price_decimals + 1000000 * s.quantity_decimals"
SERIES: Final = "series_id, price_exponent, quantity_exponent, price_decimals, quantity_decimals, candles_kept_s, trades_kept_s"

# What is known of a candle beside its numbers, in one of them: 1 for final, 2 for each rank of its source, 8 for each revision.
SOURCED, REVISED = 2, 8
MARK: Final = f"c.final + {SOURCED} * c.source + {REVISED} * c.revision"

THEN_JOIN: Final = re.compile(r"THEN JOIN (\w+) (\w+) ON \[\[(.*?)\]\]", re.DOTALL)

# Reads of many rows leave their order to `reading.by_position`: rows come out of the index nearly sorted, which a sort of
# Python finishes at once, where SQLite would build a second tree of them.

# ---- reads -------------------------------------------------------------------------------------------------------------

# $1 keys, $2 stored timeframe in seconds, $3 low, $4 high, $5 rows; the newest rows of [low, high).
_NEWEST: Final = f"""
WITH k AS MATERIALIZED (
  SELECT q.position AS position, s.series_id AS series_id, {SCALE} AS scale,
    COALESCE((SELECT c.opened_s FROM market_candles c WHERE c.series_id = s.series_id AND c.timeframe_s = $2::int
        AND c.opened_s >= $3::bigint AND c.opened_s < $4::bigint ORDER BY c.opened_s DESC LIMIT 1 OFFSET $5::bigint - 1),
      $3::bigint) AS low_s,
    $4::bigint AS high_s
  FROM KEYS($1) q THEN JOIN market_series s ON [[s.exchange = q.exchange AND s.symbol = q.symbol]]
)"""  # noqa: S608

# The same from the other end: the oldest rows of [low, high).
_OLDEST: Final = f"""
WITH k AS MATERIALIZED (
  SELECT q.position AS position, s.series_id AS series_id, {SCALE} AS scale, $3::bigint AS low_s,
    COALESCE((SELECT c.opened_s FROM market_candles c WHERE c.series_id = s.series_id AND c.timeframe_s = $2::int
        AND c.opened_s >= $3::bigint AND c.opened_s < $4::bigint ORDER BY c.opened_s LIMIT 1 OFFSET $5::bigint),
      $4::bigint) AS high_s
  FROM KEYS($1) q THEN JOIN market_series s ON [[s.exchange = q.exchange AND s.symbol = q.symbol]]
)"""  # noqa: S608

_ROWS: Final = f"""
SELECT k.position, k.scale, c.opened_s, c.open, c.high, c.low, c.close, c.volume, c.volume_high, c.trades, {MARK}
FROM k THEN JOIN market_candles c ON [[c.series_id = k.series_id AND c.timeframe_s = $2::int
  AND c.opened_s >= k.low_s AND c.opened_s < k.high_s]]"""  # noqa: S608

READ_NEWEST: Final = _NEWEST + _ROWS
READ_OLDEST: Final = _OLDEST + _ROWS

# The instant until which a series is known: where its newest stored candle ends, or begins while it is open.
_CLOCK: Final = """(SELECT n.opened_s + n.final * $2::int FROM market_candles n WHERE n.series_id = k.series_id
  AND n.timeframe_s = $2::int ORDER BY n.opened_s DESC LIMIT 1)"""
_MINUTE_CLOCK: Final = _CLOCK.replace("$2::int", "60")
_CLOCKED: Final = f""",
kc AS MATERIALIZED (SELECT k.*, {_CLOCK} AS clock_s, {_MINUTE_CLOCK} AS minute_clock_s FROM k)"""  # noqa: S608
_CLOCKED_ROWS: Final = f"""{_CLOCKED}
SELECT k.position, k.scale, c.opened_s, c.open, c.high, c.low, c.close, c.volume, c.volume_high, c.trades, {MARK},
  CASE WHEN k.clock_s < k.minute_clock_s THEN k.minute_clock_s ELSE k.clock_s END
FROM kc k THEN JOIN market_candles c ON [[c.series_id = k.series_id AND c.timeframe_s = $2::int
  AND c.opened_s >= k.low_s AND c.opened_s < k.high_s]]"""  # noqa: S608
READ_CLOCKED_NEWEST: Final = _NEWEST + _CLOCKED_ROWS
READ_CLOCKED_OLDEST: Final = _OLDEST + _CLOCKED_ROWS

# $1 keys, $2 beginnings of hours: their minutes, where a candle of a zone begins within the hour.
READ_MINUTES: Final = f"""
SELECT k.position, k.scale, c.opened_s, c.open, c.high, c.low, c.close, c.volume, c.volume_high, c.trades, {MARK}
FROM (SELECT q.position, s.series_id, {SCALE} AS scale FROM KEYS($1) q
    THEN JOIN market_series s ON [[s.exchange = q.exchange AND s.symbol = q.symbol]]) k
  CROSS JOIN INTS($2) h
  THEN JOIN market_candles c ON [[c.series_id = k.series_id AND c.timeframe_s = 60 AND c.opened_s >= h.value
    AND c.opened_s < h.value + 3600]]"""  # noqa: S608

# $6 origin, $7 width in seconds: stored rows added up to wider ones. A candle is final once the base has passed its end.
_AGGREGATED: Final = f"""{_CLOCKED},
g AS (
  SELECT k.position AS position, k.series_id AS series_id, k.scale AS scale, k.clock_s AS clock_s,
    c.opened_s - (c.opened_s - $6::bigint) % $7::bigint AS bucket_s, min(c.opened_s) AS first_s, max(c.opened_s) AS last_s,
    max(c.high) AS high, min(c.low) AS low, CAST(sum(c.volume) AS bigint) AS volume,
    CAST(sum(c.volume_high) AS bigint) AS volume_high,
    CASE WHEN count(c.trades) = count(*) THEN CAST(sum(c.trades) AS bigint) END AS trades,
    CAST(sum(c.revision) AS bigint) AS revision
  FROM kc k THEN JOIN market_candles c ON [[c.series_id = k.series_id AND c.timeframe_s = $2::int
    AND c.opened_s >= k.low_s AND c.opened_s < k.high_s]]
  GROUP BY 1, 2, 3, 4, 5
)
SELECT g.position, g.scale, g.bucket_s, o.open, g.high, g.low, e.close, g.volume, g.volume_high, g.trades,
  CASE WHEN g.bucket_s + $7::bigint <= g.clock_s THEN 1 ELSE 0 END + {REVISED} * g.revision
FROM g
  THEN JOIN market_candles o ON [[o.series_id = g.series_id AND o.timeframe_s = $2::int AND o.opened_s = g.first_s]]
  THEN JOIN market_candles e ON [[e.series_id = g.series_id AND e.timeframe_s = $2::int AND e.opened_s = g.last_s]]"""  # noqa: S608

READ_AGGREGATED_NEWEST: Final = _NEWEST + _AGGREGATED
READ_AGGREGATED_OLDEST: Final = _OLDEST + _AGGREGATED

# $1 keys, $2 stored timeframe, $3 low, $4 high: the close before `low`, the first row at or after `high`, the newest row.
READ_NEIGHBOURS: Final = f"""
SELECT q.position, {SCALE} AS scale,
  (SELECT c.close FROM market_candles c WHERE c.series_id = s.series_id AND c.timeframe_s = $2::int AND c.opened_s < $3::bigint
    ORDER BY c.opened_s DESC LIMIT 1),
  (SELECT c.opened_s FROM market_candles c WHERE c.series_id = s.series_id AND c.timeframe_s = $2::int
    AND c.opened_s >= $4::bigint ORDER BY c.opened_s LIMIT 1)
FROM KEYS($1) q THEN JOIN market_series s ON [[s.exchange = q.exchange AND s.symbol = q.symbol]]"""  # noqa: S608

# $1 keys, $2 low, $3 high in nanoseconds, $4 rows.
_TRADES_NEWEST: Final = f"""
WITH k AS MATERIALIZED (
  SELECT q.position AS position, s.series_id AS series_id, {SCALE} AS scale,
    COALESCE((SELECT t.event_ns FROM market_trades t WHERE t.series_id = s.series_id AND t.event_ns >= $2::bigint
        AND t.event_ns < $3::bigint ORDER BY t.event_ns DESC LIMIT 1 OFFSET $4::bigint - 1), $2::bigint) AS low_ns,
    $3::bigint AS high_ns
  FROM KEYS($1) q THEN JOIN market_series s ON [[s.exchange = q.exchange AND s.symbol = q.symbol]]
)"""  # noqa: S608
_TRADES_OLDEST: Final = f"""
WITH k AS MATERIALIZED (
  SELECT q.position AS position, s.series_id AS series_id, {SCALE} AS scale, $2::bigint AS low_ns,
    COALESCE((SELECT t.event_ns + 1 FROM market_trades t WHERE t.series_id = s.series_id AND t.event_ns >= $2::bigint
        AND t.event_ns < $3::bigint ORDER BY t.event_ns LIMIT 1 OFFSET $4::bigint - 1), $3::bigint) AS high_ns
  FROM KEYS($1) q THEN JOIN market_series s ON [[s.exchange = q.exchange AND s.symbol = q.symbol]]
)"""  # noqa: S608
_TRADE_ROWS: Final = """
SELECT k.position, k.scale, t.event_ns, t.trade_number, t.trade_text, t.price, t.quantity, t.quantity_high, t.side, t.order_type
FROM k THEN JOIN market_trades t ON [[t.series_id = k.series_id AND t.event_ns >= k.low_ns AND t.event_ns < k.high_ns]]"""
READ_TRADES_NEWEST: Final = _TRADES_NEWEST + _TRADE_ROWS
READ_TRADES_OLDEST: Final = _TRADES_OLDEST + _TRADE_ROWS

# $1, $2 a series, $3 … $5 the last trade that was read, $6 end, $7 rows.
SCAN_TRADES: Final = f"""
SELECT 0, {SCALE} AS scale, t.event_ns, t.trade_number, t.trade_text, t.price, t.quantity, t.quantity_high, t.side, t.order_type
FROM market_series s THEN JOIN market_trades t ON [[t.series_id = s.series_id
  AND (t.event_ns, t.trade_number, t.trade_text) > ($3::bigint, $4::bigint, $5::text) AND t.event_ns < $6::bigint]]
WHERE s.exchange = $1::text AND s.symbol = $2::text
ORDER BY t.event_ns, t.trade_number, t.trade_text LIMIT $7::bigint"""  # noqa: S608

# $1 keys: how many transactions have written each series. What was read after this is what there is while the number stays.
READ_CHANGES: Final = """
SELECT q.position, s.changes FROM KEYS($1) q
  THEN JOIN market_series s ON [[s.exchange = q.exchange AND s.symbol = q.symbol]]"""

READ_SERIES: Final = f"SELECT {SERIES} FROM market_series WHERE exchange = $1::text AND symbol = $2::text"  # noqa: S608

READ_COVERAGE: Final = """
SELECT q.position, v.start_ns, v.end_ns FROM KEYS($1) q
  THEN JOIN market_series s ON [[s.exchange = q.exchange AND s.symbol = q.symbol]]
  JOIN market_coverage v ON v.series_id = s.series_id AND v.kind = $2::int
ORDER BY q.position, v.start_ns"""

READ_ORIGINS: Final = """
SELECT c.opened_s, c.source, c.final, c.revision FROM market_series s
  JOIN market_candles c ON c.series_id = s.series_id AND c.timeframe_s = $3::int
    AND c.opened_s >= $4::bigint AND c.opened_s < $5::bigint
WHERE s.exchange = $1::text AND s.symbol = $2::text ORDER BY c.opened_s LIMIT 5000"""

READ_SERIES_NAMES: Final = "SELECT exchange, symbol FROM market_series ORDER BY exchange, symbol"

# ---- writes ------------------------------------------------------------------------------------------------------------

# A higher epoch takes the fence, the same one keeps it, a lower one gets no row back: the writer is stale.
TAKE_FENCE: Final = """
INSERT INTO market_fences (service, epoch) VALUES ($1::text, $2::bigint)
ON CONFLICT (service) DO UPDATE SET epoch = excluded.epoch WHERE market_fences.epoch <= excluded.epoch RETURNING epoch"""

# Every transaction that writes rows of a series begins with this: it waits until no other does, and counts the transaction, so
# that who has read the series sees by one number whether anything may have changed.
CHANGE_SERIES: Final = f"""
UPDATE market_series SET changes = changes + 1 WHERE exchange = $1::text AND symbol = $2::text RETURNING {SERIES}"""  # noqa: S608
ADD_SERIES: Final = """
INSERT INTO market_series (exchange, symbol, price_exponent, quantity_exponent, price_decimals, quantity_decimals, candles_kept_s,
  trades_kept_s)
VALUES ($1::text, $2::text, $3::int, $4::int, $5::int, $6::int, 0, 0) ON CONFLICT (exchange, symbol) DO NOTHING"""
SET_SCALE: Final = """
UPDATE market_series SET price_exponent = $2::int, quantity_exponent = $3::int, price_decimals = $4::int,
  quantity_decimals = $5::int WHERE series_id = $1::int"""

PRICES_MAX: Final = """
SELECT (SELECT max(high) FROM market_candles WHERE series_id = $1::int),
  (SELECT max(price) FROM market_trades WHERE series_id = $1::int)"""
QUANTITIES_MAX: Final = """
SELECT (SELECT max(volume_high) FROM market_candles WHERE series_id = $1::int),
  (SELECT max(quantity_high) FROM market_trades WHERE series_id = $1::int)"""
GROW_PRICES: Final = (
    """UPDATE market_candles SET open = open * $2::bigint, high = high * $2::bigint, low = low * $2::bigint,
  close = close * $2::bigint WHERE series_id = $1::int""",
    "UPDATE market_trades SET price = price * $2::bigint WHERE series_id = $1::int",
)
SHRINK_PRICES: Final = (
    """UPDATE market_candles SET open = open / $2::bigint, high = high / $2::bigint, low = low / $2::bigint,
  close = close / $2::bigint WHERE series_id = $1::int""",
    "UPDATE market_trades SET price = price / $2::bigint WHERE series_id = $1::int",
)
GROW_QUANTITIES: Final = (
    f"""UPDATE market_candles SET volume_high = volume_high * $2::bigint + volume * $2::bigint / {PART},
  volume = volume * $2::bigint % {PART} WHERE series_id = $1::int""",  # noqa: S608
    f"""UPDATE market_trades SET quantity_high = quantity_high * $2::bigint + quantity * $2::bigint / {PART},
  quantity = quantity * $2::bigint % {PART} WHERE series_id = $1::int""",  # noqa: S608
)

NEWEST_NUMBER: Final = """
SELECT trade_number FROM market_trades WHERE series_id = $1::int AND trade_number < $2::bigint
ORDER BY trade_number DESC LIMIT 1"""
KNOWN_NUMBERS: Final = """
SELECT t.trade_number FROM INTS($2) w THEN JOIN market_trades t ON [[t.series_id = $1::int AND t.trade_number = w.value
  AND t.trade_text = '']]"""
KNOWN_TEXTS: Final = """
SELECT t.trade_text FROM WORDS($2) w THEN JOIN market_trades t ON [[t.series_id = $1::int AND t.trade_number = $3::bigint
  AND t.trade_text = w.value]]"""
TRADE_COLUMNS: Final = (
    "series_id",
    "event_ns",
    "trade_number",
    "trade_text",
    "price",
    "quantity",
    "quantity_high",
    "side",
    "order_type",
)
NEWEST_TRADE: Final = "SELECT max(event_ns) FROM market_trades WHERE series_id = $1::int"
TRADES_OF_MINUTES: Final = """
SELECT m.value,
  (SELECT t.price FROM market_trades t WHERE t.series_id = $1::int AND t.event_ns >= m.value * 1000000000
    AND t.event_ns < (m.value + 60) * 1000000000 ORDER BY t.event_ns, t.trade_number, t.trade_text LIMIT 1),
  (SELECT t.price FROM market_trades t WHERE t.series_id = $1::int AND t.event_ns >= m.value * 1000000000
    AND t.event_ns < (m.value + 60) * 1000000000 ORDER BY t.event_ns DESC, t.trade_number DESC, t.trade_text DESC
    LIMIT 1)
FROM INTS($2) m"""

CANDLES_AT: Final = """
SELECT c.opened_s, c.open, c.high, c.low, c.close, c.volume, c.volume_high, c.trades, c.source, c.final,
  c.revision
FROM INTS($3) m THEN JOIN market_candles c ON [[c.series_id = $1::int AND c.timeframe_s = $2::int AND c.opened_s = m.value]]"""
CANDLE_COLUMNS: Final = (
    "series_id",
    "timeframe_s",
    "opened_s",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "volume_high",
    "trades",
    "source",
    "final",
    "revision",
)
# A revision counts changes of a candle that was final. The greater source wins, a final one is not undone.
ON_CANDLE_CONFLICT: Final = """
ON CONFLICT (series_id, timeframe_s, opened_s) DO UPDATE SET open = excluded.open, high = excluded.high, low = excluded.low,
  close = excluded.close, volume = excluded.volume, volume_high = excluded.volume_high, trades = excluded.trades,
  source = excluded.source, final = excluded.final, revision = market_candles.revision + market_candles.final"""

_ROLL_UP: Final = f"""
INSERT INTO market_candles (series_id, timeframe_s, opened_s, open, high, low, close, volume, volume_high, trades,
  source, final, revision)
SELECT $1::int, $3::int, g.bucket_s, o.open, g.high, g.low, e.close, g.low_sum % {PART}, g.high_sum + g.low_sum / {PART},
  g.trades, {CandleSource.ROLLUP.value}, CASE WHEN g.bucket_s + $3::int <= $5::bigint THEN 1 ELSE 0 END, 0
FROM (
  SELECT m.value AS bucket_s, min(c.opened_s) AS first_s, max(c.opened_s) AS last_s, max(c.high) AS high, min(c.low) AS low,
    CAST(sum(c.volume) AS bigint) AS low_sum, CAST(sum(c.volume_high) AS bigint) AS high_sum,
    CASE WHEN count(c.trades) = count(*) THEN CAST(sum(c.trades) AS bigint) END AS trades
  FROM INTS($4) m THEN JOIN market_candles c ON [[c.series_id = $1::int AND c.timeframe_s = $2::int
    AND c.opened_s >= m.value AND c.opened_s < m.value + $3::int]]
  GROUP BY m.value
) g
  THEN JOIN market_candles o ON [[o.series_id = $1::int AND o.timeframe_s = $2::int AND o.opened_s = g.first_s]]
  THEN JOIN market_candles e ON [[e.series_id = $1::int AND e.timeframe_s = $2::int AND e.opened_s = g.last_s]]
WHERE true"""  # noqa: S608
ROLL_UP: Final = (
    _ROLL_UP
    + ON_CANDLE_CONFLICT
    + f"""
WHERE market_candles.source = {CandleSource.ROLLUP.value} AND (market_candles.open <> excluded.open
  OR market_candles.high <> excluded.high
  OR market_candles.low <> excluded.low OR market_candles.close <> excluded.close OR market_candles.volume <> excluded.volume
  OR market_candles.volume_high <> excluded.volume_high OR market_candles.final <> excluded.final
  OR COALESCE(market_candles.trades, -1) <> COALESCE(excluded.trades, -1))"""
)

# $2 timeframe, $3 the greatest source that is closed by the passing of time, $4 the instant.
CLOSE_CANDLES: Final = """
UPDATE market_candles SET final = 1 WHERE series_id = $1::int AND timeframe_s = $2::int AND final = 0 AND source <= $3::int
  AND opened_s + $2::int <= $4::bigint RETURNING opened_s"""
CLOCK: Final = """
SELECT opened_s + final * $2::int FROM market_candles WHERE series_id = $1::int AND timeframe_s = $2::int
ORDER BY opened_s DESC LIMIT 1"""

OVERLAPPING_COVERAGE: Final = """
SELECT start_ns, end_ns FROM market_coverage WHERE series_id = $1::int AND kind = $2::int AND start_ns <= $4::bigint
  AND end_ns >= $3::bigint"""
DROP_COVERAGE: Final = """
DELETE FROM market_coverage WHERE series_id = $1::int AND kind = $2::int AND start_ns <= $4::bigint AND end_ns >= $3::bigint"""
ADD_COVERAGE: Final = """
INSERT INTO market_coverage (series_id, kind, start_ns, end_ns) VALUES ($1::int, $2::int, $3::bigint, $4::bigint)"""

# How far an import came; the row goes when it is complete.
READ_IMPORT: Final = "SELECT rows_done FROM market_imports WHERE file = $1::text"
SET_IMPORT: Final = """
INSERT INTO market_imports (file, rows_done) VALUES ($1::text, $2::bigint)
ON CONFLICT (file) DO UPDATE SET rows_done = excluded.rows_done"""
DROP_IMPORT: Final = "DELETE FROM market_imports WHERE file = $1::text"

# Pruning: trades and 1m candles before an instant. Hours and days stay.
PRUNE_TRADES: Final = "DELETE FROM market_trades WHERE series_id = $1::int AND event_ns < $2::bigint"
PRUNE_CANDLES: Final = """
DELETE FROM market_candles WHERE series_id = $1::int AND timeframe_s = 60 AND opened_s < $2::bigint"""
KEEP_TRADES_FROM: Final = """
UPDATE market_series SET trades_kept_s = $2::bigint WHERE series_id = $1::int AND trades_kept_s < $2::bigint"""
KEEP_CANDLES_FROM: Final = """
UPDATE market_series SET candles_kept_s = $2::bigint WHERE series_id = $1::int AND candles_kept_s < $2::bigint"""
CUT_COVERAGE: Final = (
    "DELETE FROM market_coverage WHERE series_id = $1::int AND kind = $2::int AND end_ns <= $3::bigint",
    """UPDATE market_coverage SET start_ns = $3::bigint WHERE series_id = $1::int AND kind = $2::int
  AND start_ns < $3::bigint""",
)


@lru_cache(maxsize=64)
def insert(table: str, columns: tuple[str, ...], rows: int = 1) -> str:
    """`INSERT` of so many rows, their values one after the other, for `executemany`."""
    width = len(columns)
    places = (", ".join(f"${row * width + number}" for number in range(1, width + 1)) for row in range(rows))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({'), ('.join(places)})"  # noqa: S608


@lru_cache(maxsize=256)
def sqlite_sql(text: str) -> str:
    text = re.sub(r"::(int|bigint|text)\b", "", text)
    text = re.sub(
        r"KEYS\((\$\d+)\)",
        r"(SELECT key AS position, json_extract(value, '$[0]') AS exchange, json_extract(value, '$[1]') AS symbol "
        r"FROM json_each(\1))",
        text,
    )
    text = re.sub(r"(INTS|WORDS)\((\$\d+)\)", r"(SELECT value FROM json_each(\2))", text)
    text = THEN_JOIN.sub(r"CROSS JOIN \1 \2 ON (\3)", text)
    return re.sub(r"\$(\d)", r"?\1", text)


@lru_cache(maxsize=256)
def postgres_sql(text: str) -> str:
    text = re.sub(
        r"KEYS\((\$\d+)\)",
        r"(SELECT number - 1 AS position, split_part(value, E'\\x1f', 1) AS exchange, split_part(value, E'\\x1f', 2) AS symbol "
        r"FROM unnest(\1::text[]) WITH ORDINALITY AS listed (value, number))",
        text,
    )
    text = re.sub(r"INTS\((\$\d+)\)", r"(SELECT unnest(\1::bigint[]) AS value)", text)
    text = re.sub(r"WORDS\((\$\d+)\)", r"(SELECT unnest(\1::text[]) AS value)", text)
    # OFFSET 0 keeps the planner from turning the lateral query into a join whose sides it may change.
    return THEN_JOIN.sub(r"CROSS JOIN LATERAL (SELECT * FROM \1 \2 WHERE \3 OFFSET 0) \2", text)
