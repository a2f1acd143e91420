"""Recorded trades, replayed with their own digits and times."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from pathlib import Path
from random import Random
from typing import Any, Final

from msgspec import structs

from fullon_master_api.errors import BadUserInput
from fullon_master_api.exchanges.paper.book import Book, Level
from fullon_master_api.exchanges.paper.events import MarketEvent, Opened
from fullon_master_api.exchanges.paper.markets import MARKETS, PaperMarket, scaled
from fullon_master_api.exchanges.paper.tape import TapeTrade
from fullon_master_api.model import Record

COLUMNS: Final = ("trade_id", "price", "amount", "taker_side")  # beside ts_raw or ts_ms
BOOK_LEVELS: Final = 25
DECIMALS_MAX: Final = 12  # of a recorded price


class RecordedSource(Record, frozen=True, kw_only=True):
    """Trades of one symbol from a CSV or Parquet file.

    Columns: `ts_raw` (seconds, as text), `trade_id`, `price`, `amount` (text), `taker_side`, `ord_type`; where `ts_raw` is
    missing, `ts_ms` (milliseconds) stands in, and where `ord_type` is, a market order. Rows are in the order of time.
    The first `history` trades have happened before the first client comes; the others come at `speed` times the pace of
    the recording, None as fast as the sockets take them; with `starts_when_watched` once somebody subscribed to them.
    Quotes are made up around each trade: the recording has none.
    """

    path: Path
    symbol: str = "BTC/USDT"
    speed: float | None = 1.0
    history: int = 0
    starts_when_watched: bool = False
    seed: int = 1

    @property
    def waits_for(self) -> str | None:
        return self.symbol if self.starts_when_watched else None

    def open(self) -> Opened:
        """Raises: BadUserInput when the file cannot be replayed."""
        market = next((market for market in MARKETS if market.symbol == self.symbol), None)
        if market is None:
            known = ", ".join(market.symbol for market in MARKETS)
            raise BadUserInput(f"the paper exchange has no market {self.symbol!r}; it has {known}")
        trades = read_trades(self.path)
        market = stepped(market, trades, self.path)
        past = list(self._events(market, trades[: self.history]))
        return Opened(markets=[market], past=past, future=self._events(market, trades[self.history :]))

    def _events(self, market: PaperMarket, trades: list[TapeTrade]) -> Iterator[MarketEvent]:
        random = Random(f"{self.seed}:{market.symbol}")  # noqa: S311 - quotes that can be repeated, not a secret
        for at_ns, group in groupby(trades, key=lambda trade: trade.event_ns):
            together = list(group)
            book = book_around(market, together[-1], random)
            yield MarketEvent(at_ns=at_ns, symbol=market.symbol, trades=together, book=book)


def book_around(market: PaperMarket, trade: TapeTrade, random: Random) -> Book:
    """Quotes that fit a trade: a taker who bought paid the ask, one who sold got the bid."""
    ticks = scaled(trade.price, market.pair_decimals)
    usual_lots = int(market.quantity_usual * market.lots_in_unit)

    def side(best: int, sign: int) -> list[Level]:
        levels, price = [], best
        for _ in range(BOOK_LEVELS):
            levels.append((price, random.randint(1_000, 4 * usual_lots)))
            price += sign * random.randint(1, 20)
        return levels

    spread = random.choice((1, 1, 2, 3))
    bid = ticks - spread if trade.side == "buy" else ticks
    return Book(bids=side(bid, -1), asks=side(bid + spread, 1))


def stepped(market: PaperMarket, trades: Sequence[TapeTrade], path: Path) -> PaperMarket:
    """The market with a price step as fine as the recording's, which may be another exchange's.

    Raises: BadUserInput when a price or a quantity is no number above zero, or a quantity is finer than the market takes.
    """
    decimals = market.pair_decimals
    for trade in trades:
        try:
            fine = scaled(trade.price, DECIMALS_MAX) > 0 and scaled(trade.quantity, market.lot_decimals) > 0
        except ValueError as error:
            raise BadUserInput(
                f"{path.name}: trade {trade.trade_id}: {error}; at most {market.lot_decimals} are taken"
            ) from error
        if not fine:
            raise BadUserInput(f"{path.name}: trade {trade.trade_id}: price and quantity must be above zero")
        decimals = max(decimals, len(trade.price.partition(".")[2].rstrip("0")))
    return structs.replace(market, pair_decimals=decimals)


def read_trades(path: Path) -> list[TapeTrade]:
    """The trades of a file, in its order.

    Raises: BadUserInput when the file is missing, has not the columns, or is not in the order of time.
    """
    if not path.is_file():
        raise BadUserInput(f"no recording at {path}")
    trades = [_trade(row, path) for row in (_parquet_rows(path) if path.suffix == ".parquet" else _csv_rows(path))]
    for earlier, later in pairwise(trades):
        if later.event_ns < earlier.event_ns:
            raise BadUserInput(f"{path.name}: trade {later.trade_id} is older than the one before it; sort by time")
    return trades


def _trade(row: Mapping[str, Any], path: Path) -> TapeTrade:
    text = row.get("ts_raw") or (_seconds_of_ms(row["ts_ms"]) if row.get("ts_ms") else None)
    missing = [name for name in COLUMNS if name not in row]
    if missing or text is None:
        absent, columns = ", ".join(missing) or "ts_raw or ts_ms", ", ".join(COLUMNS)
        raise BadUserInput(f"{path.name}: no column {absent}; needed are {columns} and ts_raw or ts_ms")
    seconds, _, part = str(text).partition(".")
    return TapeTrade(
        trade_id=int(row["trade_id"]),
        event_ns=int(seconds) * 1_000_000_000 + int(f"{part:0<9.9}"),
        time_text=str(text),
        price=str(row["price"]),
        quantity=str(row["amount"]),
        side="sell" if str(row["taker_side"]).lower() in ("sell", "s") else "buy",
        order_type="limit" if str(row.get("ord_type", "")).lower() in ("limit", "l") else "market",
    )


def _seconds_of_ms(milliseconds: Any) -> str:
    seconds, part = divmod(int(milliseconds), 1000)
    return f"{seconds}.{part:03d}"


def _csv_rows(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def _parquet_rows(path: Path) -> list[dict[str, Any]]:
    from pyarrow import parquet  # Half a second to import, and only for this one format.

    rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    return rows
