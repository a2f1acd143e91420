"""Tables of the candle store, as numbered steps that each database takes once."""

from __future__ import annotations

from typing import Final

GET_VERSION: Final = "SELECT version FROM market_schema"
SET_VERSION: Final = "UPDATE market_schema SET version = $1::int"

SQLITE_STEPS: Final[tuple[tuple[str, ...], ...]] = (
    (
        """CREATE TABLE market_series (
  series_id INTEGER PRIMARY KEY, exchange TEXT NOT NULL, symbol TEXT NOT NULL,
  price_exponent INTEGER NOT NULL, quantity_exponent INTEGER NOT NULL,
  price_decimals INTEGER NOT NULL, quantity_decimals INTEGER NOT NULL,
  candles_kept_s INTEGER NOT NULL, trades_kept_s INTEGER NOT NULL,
  UNIQUE (exchange, symbol))""",
        """CREATE TABLE market_candles (
  series_id INTEGER NOT NULL, timeframe_s INTEGER NOT NULL, opened_s INTEGER NOT NULL,
  open INTEGER NOT NULL, high INTEGER NOT NULL, low INTEGER NOT NULL, close INTEGER NOT NULL,
  volume INTEGER NOT NULL, volume_high INTEGER NOT NULL, trades INTEGER,
  source INTEGER NOT NULL, final INTEGER NOT NULL, revision INTEGER NOT NULL,
  PRIMARY KEY (series_id, timeframe_s, opened_s)) STRICT, WITHOUT ROWID""",
        "CREATE INDEX market_candles_open ON market_candles (series_id, timeframe_s, opened_s) WHERE final = 0",
        """CREATE TABLE market_trades (
  series_id INTEGER NOT NULL, event_ns INTEGER NOT NULL, trade_number INTEGER NOT NULL, trade_text TEXT NOT NULL,
  price INTEGER NOT NULL, quantity INTEGER NOT NULL, quantity_high INTEGER NOT NULL,
  side INTEGER NOT NULL, order_type INTEGER NOT NULL,
  PRIMARY KEY (series_id, event_ns, trade_number, trade_text)) STRICT, WITHOUT ROWID""",
        "CREATE UNIQUE INDEX market_trades_key ON market_trades (series_id, trade_number, trade_text)",
        """CREATE TABLE market_coverage (
  series_id INTEGER NOT NULL, kind INTEGER NOT NULL, start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL,
  PRIMARY KEY (series_id, kind, start_ns)) STRICT, WITHOUT ROWID""",
        "CREATE TABLE market_fences (service TEXT PRIMARY KEY, epoch INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    ),
    ("CREATE TABLE market_imports (file TEXT PRIMARY KEY, rows_done INTEGER NOT NULL) STRICT, WITHOUT ROWID",),
    ("ALTER TABLE market_series ADD COLUMN changes INTEGER NOT NULL DEFAULT 0",),
)

POSTGRES_STEPS: Final[tuple[tuple[str, ...], ...]] = (
    (
        """CREATE TABLE market_series (
  series_id INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY, exchange TEXT NOT NULL, symbol TEXT NOT NULL,
  price_exponent SMALLINT NOT NULL, quantity_exponent SMALLINT NOT NULL,
  price_decimals SMALLINT NOT NULL, quantity_decimals SMALLINT NOT NULL,
  candles_kept_s BIGINT NOT NULL, trades_kept_s BIGINT NOT NULL,
  UNIQUE (exchange, symbol))""",
        """CREATE TABLE market_candles (
  series_id INTEGER NOT NULL, timeframe_s INTEGER NOT NULL, opened_s BIGINT NOT NULL,
  open BIGINT NOT NULL, high BIGINT NOT NULL, low BIGINT NOT NULL, close BIGINT NOT NULL,
  volume BIGINT NOT NULL, volume_high BIGINT NOT NULL, trades BIGINT,
  source SMALLINT NOT NULL, final SMALLINT NOT NULL, revision INTEGER NOT NULL,
  PRIMARY KEY (series_id, timeframe_s, opened_s))""",
        "CREATE INDEX market_candles_open ON market_candles (series_id, timeframe_s, opened_s) WHERE final = 0",
        # A partition for each month, made by the first write into it. A key over all partitions cannot leave the time out,
        # so the writer, which holds the lock of the series, looks for the keys before it inserts.
        """CREATE TABLE market_trades (
  series_id INTEGER NOT NULL, event_ns BIGINT NOT NULL, trade_number BIGINT NOT NULL, trade_text TEXT COLLATE "C" NOT NULL,
  price BIGINT NOT NULL, quantity BIGINT NOT NULL, quantity_high BIGINT NOT NULL,
  side SMALLINT NOT NULL, order_type SMALLINT NOT NULL,
  PRIMARY KEY (series_id, event_ns, trade_number, trade_text)) PARTITION BY RANGE (event_ns)""",
        "CREATE INDEX market_trades_key ON market_trades (series_id, trade_number, trade_text)",
        """CREATE TABLE market_coverage (
  series_id INTEGER NOT NULL, kind INTEGER NOT NULL, start_ns BIGINT NOT NULL, end_ns BIGINT NOT NULL,
  PRIMARY KEY (series_id, kind, start_ns))""",
        "CREATE TABLE market_fences (service TEXT PRIMARY KEY, epoch BIGINT NOT NULL)",
    ),
    ("CREATE TABLE market_imports (file TEXT PRIMARY KEY, rows_done BIGINT NOT NULL)",),
    ("ALTER TABLE market_series ADD COLUMN changes BIGINT NOT NULL DEFAULT 0",),
)
VERSION: Final = len(SQLITE_STEPS)
assert len(POSTGRES_STEPS) == VERSION, "each step of the schema is written for both engines"
