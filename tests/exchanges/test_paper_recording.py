"""Recorded trades through the paper exchange and back: every digit and every instant."""

from __future__ import annotations

import csv
from contextlib import aclosing
from decimal import Decimal
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet
import pytest

from fullon_master_api.errors import BadUserInput
from fullon_master_api.exchanges import open_exchange
from fullon_master_api.exchanges.paper import PaperOptions, RecordedSource, open_paper
from fullon_master_api.model import MarketTrade, Timeframe

Row = dict[str, str]

ROWS = 2_600
FIRST_S = 1_762_795_433


def recording(seed: int = 5) -> list[Row]:
    """Trades as Kraken records them: several at one instant, across the edges of pages, and lulls of minutes."""
    random = Random(seed)
    rows: list[Row] = []
    instant, ticks = FIRST_S * 10_000_000 + 9_717_445, 1_054_336
    while len(rows) < ROWS:
        together = 45 if 960 < len(rows) < 1_000 else random.choice((1, 1, 1, 2, 7))
        for _ in range(together):
            ticks += random.randint(-30, 30)
            second, part = divmod(instant, 10_000_000)
            rows.append(
                {
                    "ts_ms": str(instant // 10_000),
                    "ts_raw": f"{second}.{part:07d}".rstrip("0"),
                    "trade_id": str(10_218_208 + len(rows)),
                    "price": f"{ticks / 10:.5f}",
                    "amount": f"{random.randint(1, 99_999_999) / 1e8:.8f}",
                    "taker_side": random.choice(("buy", "sell")),
                    "ord_type": random.choice(("market", "limit")),
                }
            )
        instant += random.choice((1, 5_000, 20_000_000, 900_000_000))
    return rows[:ROWS]


def write_csv(path: Path, rows: list[Row]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def as_rows(trades: list[MarketTrade]) -> list[tuple[str, ...]]:
    return [(t.trade_id, str(t.event_ns), t.price, t.quantity, t.side.value, t.order_type.value) for t in trades]


def wanted(rows: list[Row]) -> list[tuple[str, ...]]:
    return [
        (r["trade_id"], str(int(Decimal(r["ts_raw"]) * 10**9)), r["price"], r["amount"], r["taker_side"], r["ord_type"])
        for r in rows
    ]


def candles_of(rows: list[Row]) -> dict[int, list[Decimal | int]]:
    """An oracle of its own: minute -> open, high, low, close, volume, count, by Decimal from the recording."""
    minutes: dict[int, list[Row]] = {}
    for row in rows:
        minutes.setdefault(int(Decimal(row["ts_raw"])) // 60 * 60, []).append(row)
    return {
        minute: [
            Decimal(group[0]["price"]),
            max(Decimal(row["price"]) for row in group),
            min(Decimal(row["price"]) for row in group),
            Decimal(group[-1]["price"]),
            sum((Decimal(row["amount"]) for row in group), Decimal(0)),
            len(group),
        ]
        for minute, group in minutes.items()
    }


async def test_rest_and_socket_give_the_recording_back_digit_for_digit(tmp_path: Path) -> None:
    rows = recording()
    source = RecordedSource(path=write_csv(tmp_path / "trades.csv", rows), speed=None, history=1_000, starts_when_watched=True)
    async with open_paper(PaperOptions(source=source)) as paper:
        kraken = open_exchange("kraken", base_url=paper.url)
        past = await kraken.fetch_trades("BTC/USDT", since_ns=0, limit=100_000)
        live: list[MarketTrade] = []
        async with aclosing(kraken.stream_trades("BTC/USDT")) as batches:
            async for batch in batches:
                live += batch
                if batch[-1].trade_id == rows[-1]["trade_id"]:
                    break
        await kraken.aclose()

    assert as_rows(past) == wanted(rows[:1_000])
    assert as_rows(live) == wanted(rows[950:])  # Fifty from before, then each new one, once.


@pytest.mark.parametrize("limit", [7, 100, 1_000, 5_000])
async def test_pages_lose_and_double_nothing_with_many_trades_at_one_instant(tmp_path: Path, limit: int) -> None:
    rows = recording()
    source = RecordedSource(path=write_csv(tmp_path / "trades.csv", rows), history=ROWS)
    async with open_paper(PaperOptions(source=source)) as paper:
        kraken = open_exchange("kraken", base_url=paper.url)
        found: list[MarketTrade] = []
        while page := await kraken.fetch_trades("BTC/USDT", since_ns=found[-1].event_ns + 1 if found else 0, limit=limit):
            found += page
        await kraken.aclose()

    assert as_rows(found) == wanted(rows)


async def test_candles_over_rest_equal_those_of_an_independent_oracle(tmp_path: Path) -> None:
    rows = recording()
    oracle = candles_of(rows)
    source = RecordedSource(path=write_csv(tmp_path / "trades.csv", rows), history=ROWS)
    async with open_paper(PaperOptions(source=source)) as paper:
        kraken = open_exchange("kraken", base_url=paper.url)
        newest_s = max(oracle)
        candles = await kraken.fetch_candles("BTC/USDT", Timeframe.MINUTE_1, since_ns=(newest_s - 700 * 60) * 10**9, limit=720)
        await kraken.aclose()

    got = {c.opened_ns // 10**9: [Decimal(x) for x in (c.open, c.high, c.low, c.close, c.volume)] for c in candles}
    assert {minute: got[minute] for minute in oracle if minute in got} == {
        minute: row[:5] for minute, row in oracle.items() if minute in got
    }
    assert len(got) == len(candles) > 300
    quiet = [c for c in candles if c.opened_ns // 10**9 not in oracle]
    assert quiet
    assert all(c.volume == "0.00000000" and c.open == c.high == c.low == c.close for c in quiet)


async def test_parquet_gives_what_csv_gives(tmp_path: Path) -> None:
    rows = recording()[:50]
    numbers = ("ts_ms", "trade_id")
    columns = {name: [int(row[name]) if name in numbers else row[name] for row in rows] for name in rows[0]}
    pyarrow.parquet.write_table(pa.table(columns), tmp_path / "trades.parquet")

    from_parquet = RecordedSource(path=tmp_path / "trades.parquet").open()
    from_csv = RecordedSource(path=write_csv(tmp_path / "trades.csv", rows)).open()

    assert list(from_parquet.future) == list(from_csv.future)


async def test_milliseconds_stand_in_for_the_text_of_a_time_and_market_for_an_unknown_order_type(tmp_path: Path) -> None:
    rows = [{k: v for k, v in row.items() if k not in ("ts_raw", "ord_type")} for row in recording()[:40]]
    trades = [t for e in RecordedSource(path=write_csv(tmp_path / "trades.csv", rows)).open().future for t in e.trades]

    assert [(t.event_ns, t.order_type) for t in trades] == [(int(row["ts_ms"]) * 1_000_000, "market") for row in rows]
    assert {Decimal(t.time_text) * 1000 - int(row["ts_ms"]) for t, row in zip(trades, rows, strict=True)} == {Decimal(0)}


async def test_a_recording_of_another_exchange_makes_the_markets_price_step_finer(tmp_path: Path) -> None:
    rows = [row | {"price": f"{60_000 + n / 100:.8f}"} for n, row in enumerate(recording()[:120])]
    source = RecordedSource(path=write_csv(tmp_path / "trades.csv", rows), history=120)
    async with open_paper(PaperOptions(source=source)) as paper:
        kraken = open_exchange("kraken", base_url=paper.url)
        market = (await kraken.load_markets())["BTC/USDT"]
        trades = await kraken.fetch_trades("BTC/USDT", since_ns=0, limit=1_000)
        ticker = (await kraken.fetch_tickers(["BTC/USDT"]))[0]
        await kraken.aclose()

    assert market.price_step == Decimal("0.01")
    assert [trade.price for trade in trades] == [row["price"] for row in rows]
    assert Decimal(ticker.ask or 0) - Decimal(ticker.bid or 0) <= Decimal("0.03")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: [{k: v for k, v in row.items() if k != "price"} for row in rows], "no column price"),
        (lambda rows: rows[::-1], "sort by time"),
        (lambda rows: [row | {"amount": "0.123456789"} for row in rows], "at most 8 are taken"),
        (lambda rows: [row | {"price": "NaN"} for row in rows], "is not a number"),
        (lambda rows: [row | {"price": "-1.0"} for row in rows], "must be above zero"),
    ],
)
async def test_a_recording_that_cannot_be_replayed_is_refused(tmp_path: Path, change: object, message: str) -> None:
    assert callable(change)
    path = write_csv(tmp_path / "trades.csv", change(recording()[:10]))

    with pytest.raises(BadUserInput, match=message):
        RecordedSource(path=path).open()
    with pytest.raises(BadUserInput, match="no recording at"):
        RecordedSource(path=tmp_path / "absent.csv").open()
    with pytest.raises(BadUserInput, match="no market 'FOO/BAR'"):
        RecordedSource(path=path, symbol="FOO/BAR").open()
