"""A recording replayed over Kraken's wire is stored as candles that equal an independent sum of its trades, exactly."""

from __future__ import annotations

import csv
import random
from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from fullon_master_api.exchanges.paper import PaperOptions, RecordedSource, open_paper
from fullon_master_api.model import Candle, ServiceName, Timeframe
from fullon_master_api.services.ohlcv import OhlcvService
from tests.services.stage import list_symbols, open_platform, running, until

START_S = 1_762_795_433
MINUTE_S = 60
SYMBOL = "BTC/USDT"
KEY = ("kraken", SYMBOL)

Row = tuple[str, int, str, str, str, str]
Bar = tuple[Decimal, Decimal, Decimal, Decimal, Decimal, int]


def recording(seed: int) -> list[Row]:
    """Nine minutes of trades: bursts within one millisecond and within one instant, two minutes without any."""
    draw = random.Random(seed)
    rows: list[Row] = []
    price, number, at_ns = 1_054_336, 10_218_208, START_S * 1_000_000_000 + 971_744_500
    while at_ns < (START_S + 9 * MINUTE_S) * 1_000_000_000:
        at_ns += draw.choice((0, 100, 100, 40_000, 900_000, 1_700_000_000, 9_000_000_000))
        if 3 <= (at_ns // 1_000_000_000 - START_S) // MINUTE_S < 5:
            at_ns = (START_S + 5 * MINUTE_S) * 1_000_000_000 + draw.randrange(1_000) * 100
        price = max(1, price + draw.randint(-40, 40))
        quantity = Decimal(draw.randint(1, 5_000_000)) / 10**8
        whole, part = divmod(at_ns // 100, 10_000_000)
        side, kind = draw.choice(("buy", "sell")), draw.choice(("limit", "market"))
        rows.append((f"{whole}.{part:07d}", number, f"{price // 10}.{price % 10}0000", f"{quantity:.8f}", side, kind))
        number += 1
    return rows


def oracle(rows: Sequence[Row]) -> dict[int, Bar]:
    """Open second of a minute to its bar: the trades of each minute in the order of their numbers, summed as Decimal."""
    minutes: dict[int, list[tuple[Decimal, Decimal]]] = defaultdict(list)
    for time_text, _number, price, quantity, _side, _kind in sorted(rows, key=lambda row: row[1]):
        opened_s = int(Decimal(time_text)) // MINUTE_S * MINUTE_S
        minutes[opened_s].append((Decimal(price), Decimal(quantity)))
    bars: dict[int, Bar] = {}
    for opened_s, trades in minutes.items():
        prices = [price for price, _ in trades]
        volume = sum((quantity for _, quantity in trades), Decimal(0))
        bars[opened_s] = (prices[0], max(prices), min(prices), prices[-1], volume, len(trades))
    return bars


def bar_of(candle: Candle) -> Bar:
    prices = (Decimal(candle.open), Decimal(candle.high), Decimal(candle.low), Decimal(candle.close))
    return (*prices, Decimal(candle.volume), candle.trades or 0)


def write_recording(path: Path, rows: Sequence[Row]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("ts_raw", "trade_id", "price", "amount", "taker_side", "ord_type"))
        writer.writerows(rows)
    return path


def test_the_generated_recording_has_the_hard_cases() -> None:
    rows = recording(1)
    milliseconds = [row[0][:-4] for row in rows]
    assert max(milliseconds.count(moment) for moment in set(milliseconds)) >= 5
    assert len({row[0] for row in rows}) < len(rows)
    opened = sorted(oracle(rows))
    assert opened[-1] - opened[0] > (len(opened) - 1) * MINUTE_S
    assert len(rows) > 100


@pytest.mark.parametrize("seed", [1, 2])
async def test_candles_of_a_replayed_recording_equal_a_decimal_oracle_exactly(tmp_path: Path, seed: int) -> None:
    rows = recording(seed)
    path = write_recording(tmp_path / "trades.csv", rows)
    source = RecordedSource(path=path, symbol=SYMBOL, speed=120.0, history=len(rows) // 4)
    async with (
        open_paper(PaperOptions(source=source)) as paper,
        open_platform(tmp_path, exchange_urls={"kraken": paper.url}) as resources,
    ):
        await list_symbols(resources, [SYMBOL], backtest=500)
        async with running(resources, ServiceName.OHLCV, partial(OhlcvService, resources)):

            async def all_stored() -> bool:
                candles = (await resources.ohlcv.candles([KEY], Timeframe.MINUTE_1, limit=5000))[0]
                return sum(candle.trades or 0 for candle in candles) == len(rows)

            await until(all_stored)
        candles = (await resources.ohlcv.candles([KEY], Timeframe.MINUTE_1, limit=5000))[0]
        assert {candle.opened_ns // 1_000_000_000: bar_of(candle) for candle in candles} == oracle(rows)
        assert all(candle.final for candle in candles[:-1])
        stored = (await resources.ohlcv.trades([KEY], limit=5000))[0]
        assert [(int(trade.trade_id), Decimal(trade.price), Decimal(trade.quantity)) for trade in stored] == [
            (row[1], Decimal(row[2]), Decimal(row[3])) for row in rows
        ]
