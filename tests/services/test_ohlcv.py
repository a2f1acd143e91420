"""The OHLCV service on a wire that misbehaves: what is stored equals the exchange's own record, whatever happened in between."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from decimal import Decimal
from functools import partial
from itertools import takewhile
from pathlib import Path

import pytest
from msgspec import structs

from fullon_master_api.bus import Delivery, candle_topic, public_trades_topic
from fullon_master_api.exchanges.paper import GeneratedSource, PaperExchange, PaperOptions, open_paper
from fullon_master_api.exchanges.paper.events import Opened
from fullon_master_api.model import CandleEvent, MarketTrades, ServiceName, ServiceState, Timeframe
from fullon_master_api.services.board import FeedBoard
from fullon_master_api.services.ohlcv import OhlcvService
from fullon_master_api.services.resources import Resources
from tests.services.stage import WITHIN_S, list_symbols, locked, open_platform, running, until, without_streams

SYMBOL = "BTC/USD"
KEY = ("kraken", SYMBOL)
MINUTE_NS = 60_000_000_000

Fact = tuple[int, Decimal, Decimal]
"""Number, price and quantity of a trade."""


def source(**values: object) -> GeneratedSource:
    given = {"symbols": (SYMBOL,), "history_hours": 0.5, "updates_per_s": 4.0, "speed": 30.0}
    return GeneratedSource(**(given | values))  # type: ignore[arg-type]


def collecting(resources: Resources) -> AbstractAsyncContextManager[FeedBoard]:
    return running(resources, ServiceName.OHLCV, partial(OhlcvService, resources))


@asynccontextmanager
async def staged(
    folder: Path, generated: GeneratedSource, **values: object
) -> AsyncGenerator[tuple[Resources, PaperExchange], None]:
    known: dict[str, object] = {"ohlcv_collection_interval": 1.0, "db_pool_timeout": 0.3}
    async with (
        open_paper(PaperOptions(source=generated)) as paper,
        open_platform(folder, exchange_urls={"kraken": paper.url}, **(known | values)) as resources,
    ):
        await list_symbols(resources, [SYMBOL])
        yield resources, paper


def recorded(paper: PaperExchange, until_number: int) -> list[Fact]:
    """The exchange's own record up to a trade."""
    trades = paper.tapes[SYMBOL].trades
    return [(trade.trade_id, Decimal(trade.price), Decimal(trade.quantity)) for trade in trades if trade.trade_id <= until_number]


def newest(paper: PaperExchange) -> int:
    last = paper.tapes[SYMBOL].last
    assert last is not None
    return last.trade_id


async def stored(resources: Resources) -> list[Fact]:
    """All stored trades, in the store's order."""
    found: dict[str, Fact] = {}
    start_ns = 0
    while page := (await resources.ohlcv.trades([KEY], start_ns=start_ns, limit=5000))[0]:
        known = len(found)
        found |= {trade.trade_id: (int(trade.trade_id), Decimal(trade.price), Decimal(trade.quantity)) for trade in page}
        if len(found) == known:
            break
        start_ns = page[-1].event_ns  # A page may end in the middle of an instant, so the next one begins with it.
    return list(found.values())


async def wait_stored(resources: Resources, number: int, *, within_s: float = WITHIN_S) -> None:
    """Until the trade of this number is stored, and every one before it that the service wants."""

    async def there() -> bool:
        found = await resources.ohlcv.trades([KEY], limit=5000)
        numbers = [int(trade.trade_id) for trade in found[0]]
        return bool(numbers) and numbers[-1] >= number and len(set(numbers)) == numbers[-1] - numbers[0] + 1

    await until(there, within_s=within_s)


async def assert_equals_the_record(resources: Resources, paper: PaperExchange) -> int:
    """Everything up to now: trades, and the candles that they make. Answers how many trades."""
    number = newest(paper)
    expected = recorded(paper, number)

    async def begun() -> bool:  # What is live may be stored before the history that it follows.
        found = await stored(resources)
        return bool(found) and found[0][0] <= expected[0][0]

    await until(begun)
    await wait_stored(resources, number)
    assert [fact for fact in await stored(resources) if fact[0] <= number] == expected
    minutes: dict[int, list[tuple[Decimal, Decimal]]] = defaultdict(list)
    for trade in paper.tapes[SYMBOL].trades:
        if trade.trade_id <= number:
            minutes[trade.event_ns // MINUTE_NS * MINUTE_NS].append((Decimal(trade.price), Decimal(trade.quantity)))
    whole = sorted(minutes)[:-1]
    candles = (await resources.ohlcv.candles([KEY], Timeframe.MINUTE_1, limit=5000))[0]
    bars = {candle.opened_ns: candle for candle in candles}
    for opened_ns in whole:
        prices = [price for price, _ in minutes[opened_ns]]
        volume = sum((quantity for _, quantity in minutes[opened_ns]), Decimal(0))
        bar = bars[opened_ns]
        made = (Decimal(bar.open), Decimal(bar.high), Decimal(bar.low), Decimal(bar.close), Decimal(bar.volume), bar.trades)
        assert made == (prices[0], max(prices), min(prices), prices[-1], volume, len(prices))
        assert bar.final
    return len(expected)


async def test_history_and_live_trades_make_one_record_without_a_hole(tmp_path: Path) -> None:
    async with staged(tmp_path, source()) as (resources, paper), collecting(resources) as board:
        count = await assert_equals_the_record(resources, paper)
        assert count > 100
        assert board.state() is ServiceState.RUNNING
        covered = (await resources.ohlcv.coverage([KEY]))[0]
        assert covered[-1].end_ns > paper.tapes[SYMBOL].trades[0].event_ns


async def test_without_data_the_history_begins_backtest_days_ago(tmp_path: Path) -> None:
    day_ns, minute_ns = 86_400 * 10**9, 60 * 10**9
    async with staged(tmp_path, source()) as (resources, _paper):
        asked_ns = time.time_ns()
        async with collecting(resources):

            async def filled() -> bool:
                (covered,) = await resources.ohlcv.coverage([KEY])
                return bool(covered) and covered[0].start_ns < asked_ns - day_ns + minute_ns

            await until(filled)
        (covered,) = await resources.ohlcv.coverage([KEY])
        assert covered[0].start_ns >= asked_ns - day_ns - minute_ns


async def test_a_restart_goes_on_after_the_newest_stored_trade(tmp_path: Path) -> None:
    async with staged(tmp_path, source(speed=10.0)) as (resources, paper):
        async with collecting(resources):
            await assert_equals_the_record(resources, paper)
        before = newest(paper)

        async def more() -> bool:
            return newest(paper) > before + 20

        await until(more)
        asked_ns = time.time_ns()
        async with collecting(resources):
            await assert_equals_the_record(resources, paper)
        covered = (await resources.ohlcv.coverage([KEY]))[0]
        assert [interval for interval in covered if interval.end_ns > asked_ns - 3600 * 10**9]


@pytest.mark.parametrize("fault", ["lose", "duplicate", "reorder", "cut"])
async def test_messages_lost_doubled_reordered_or_cut_do_not_show_in_the_store(tmp_path: Path, fault: str) -> None:
    async with staged(tmp_path, source()) as (resources, paper), collecting(resources):
        await assert_equals_the_record(resources, paper)
        setattr(paper.faults, fault, 0.1)
        target = newest(paper) + 60

        async def more() -> bool:
            return newest(paper) > target

        await until(more)
        paper.faults.clear()
        await assert_equals_the_record(resources, paper)


async def test_trades_of_a_time_without_sockets_are_read_afterwards(tmp_path: Path) -> None:
    async with staged(tmp_path, source()) as (resources, paper), collecting(resources) as board:
        await assert_equals_the_record(resources, paper)
        paper.faults.refuse = True
        assert paper.faults.drop_sockets() == 1
        target = newest(paper) + 30

        async def more() -> bool:
            return newest(paper) > target

        await until(more)
        paper.faults.refuse = False
        await assert_equals_the_record(resources, paper)
        assert sum(feed.reconnects for feed in board.health()) >= 1


async def test_nothing_is_lost_while_the_store_cannot_be_written(tmp_path: Path) -> None:
    async with staged(tmp_path, source()) as (resources, paper), collecting(resources) as board:
        await assert_equals_the_record(resources, paper)
        async with locked(tmp_path / "ohlcv.db"):
            target = newest(paper) + 30

            async def more() -> bool:
                return newest(paper) > target and board.state() is ServiceState.DEGRADED

            await until(more)
        await assert_equals_the_record(resources, paper)

        async def well() -> bool:
            return board.state() is ServiceState.RUNNING

        await until(well)


async def test_watchers_get_each_trade_once_and_the_candles_as_they_are_stored(tmp_path: Path) -> None:
    async with staged(tmp_path, source(history_hours=0.02, speed=60.0)) as (resources, _paper):
        trades_topic, candles_topic = public_trades_topic(*KEY), candle_topic(*KEY, "1m")
        numbers: list[int] = []
        finals: list[CandleEvent] = []
        topics = [trades_topic, candles_topic]
        mailboxes = resources.bus.subscribe(topics, delivery=Delivery.QUEUE, size_max=100_000)
        async with mailboxes as mailbox, collecting(resources), asyncio.timeout(WITHIN_S):
            async for _topic, message in mailbox:
                if isinstance(message, MarketTrades):
                    numbers.extend(int(trade.trade_id) for trade in message.trades)
                elif isinstance(message, CandleEvent) and message.candle.final:
                    finals.append(message)
                if len(finals) >= 3 and len(numbers) >= 100:
                    break
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        kept = (await resources.ohlcv.candles([KEY], Timeframe.MINUTE_1, limit=5000))[0]
        bars = {candle.opened_ns: candle for candle in kept}
        # One that its clock closed while trades were still on their way is told, and stored, again: an hour takes a minute here.
        told = {event.candle.opened_ns: event.candle for event in finals}
        assert [bar for bar in told.values() if bars[bar.opened_ns] != bar and bars[bar.opened_ns].revision <= bar.revision] == []
        assert any(bars[bar.opened_ns] == bar for bar in told.values())


@pytest.mark.parametrize("timeframe", [Timeframe.MINUTE_5, Timeframe.HOUR_1, Timeframe.MONTH_1])
async def test_candles_of_wider_timeframes_are_told_as_they_are_stored(tmp_path: Path, timeframe: Timeframe) -> None:
    async with staged(tmp_path, source()) as (resources, _paper):
        topic = candle_topic(*KEY, timeframe.value)
        told: list[CandleEvent] = []
        async with (
            resources.bus.subscribe(topic, delivery=Delivery.QUEUE) as mailbox,
            collecting(resources),
            asyncio.timeout(WITHIN_S),
        ):
            async for _topic, message in mailbox:
                assert isinstance(message, CandleEvent)
                told.append(message)
                if len({event.candle.volume for event in told}) >= 3:
                    break
        assert {event.timeframe for event in told} == {timeframe.value}
        newest_stored = (await resources.ohlcv.candles([KEY], timeframe, limit=1))[0][0]
        last = told[-1].candle
        assert newest_stored.opened_ns >= last.opened_ns
        if newest_stored.opened_ns == last.opened_ns:
            assert newest_stored.open == last.open
            assert Decimal(newest_stored.volume) >= Decimal(last.volume)


class Ending(GeneratedSource, frozen=True, kw_only=True):
    """A market whose trades end for good, in the middle of a minute."""

    trading_s: float = 3.0

    def open(self) -> Opened:
        opened = super().open()
        assert self.start_ns is not None
        end_ns = self.start_ns + int(self.trading_s * 1e9)
        return structs.replace(opened, future=takewhile(lambda event: event.at_ns < end_ns, opened.future))


def ending(second: int) -> Ending:
    """A market that trades for the last time soon after this second of the minute before this one."""
    start_ns = (time.time_ns() // MINUTE_NS - 1) * MINUTE_NS + second * 1_000_000_000
    return Ending(symbols=(SYMBOL,), history_hours=0.02, updates_per_s=4.0, speed=1.0, start_ns=start_ns)


async def newest_is_final(resources: Resources) -> bool:
    candles = (await resources.ohlcv.candles([KEY], Timeframe.MINUTE_1, limit=5))[0]
    return candles[-1].final


async def ended(paper: PaperExchange) -> None:
    """Until the market's last trade has happened."""
    seen = -1
    while seen != newest(paper):
        seen = newest(paper)
        await asyncio.sleep(2.0)


@pytest.mark.parametrize("away", [False, True])
async def test_a_quiet_minute_is_closed_by_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, away: bool) -> None:
    monkeypatch.setattr("fullon_master_api.services.tape_writer.GRACE_NS", 100_000_000)
    async with staged(tmp_path, ending(second=50)) as (resources, paper), collecting(resources):
        await ended(paper)
        await assert_equals_the_record(resources, paper)
        paper.faults.maintenance = away
        await until(lambda: newest_is_final(resources), within_s=WITHIN_S)


async def test_a_minute_left_open_is_closed_after_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fullon_master_api.services.tape_writer.GRACE_NS", 3600 * 1_000_000_000)
    async with staged(tmp_path, ending(second=20)) as (resources, paper):
        async with collecting(resources):
            await ended(paper)
            await assert_equals_the_record(resources, paper)
        assert not await newest_is_final(resources)
        monkeypatch.setattr("fullon_master_api.services.tape_writer.GRACE_NS", 100_000_000)
        async with collecting(resources):
            await until(lambda: newest_is_final(resources), within_s=WITHIN_S)


async def test_trades_are_read_over_rest_where_they_cannot_be_streamed(tmp_path: Path) -> None:
    async with staged(tmp_path, source(), ohlcv_collection_interval=0.3) as (resources, paper):
        alone = without_streams(resources)
        async with running(alone, ServiceName.OHLCV, partial(OhlcvService, alone)) as board:
            await assert_equals_the_record(resources, paper)
            assert board.state() is ServiceState.RUNNING
            assert not paper.hub.sessions


async def test_a_symbol_for_tickers_only_is_not_collected(tmp_path: Path) -> None:
    async with staged(tmp_path, source()) as (resources, paper):
        await list_symbols(resources, ["ETH/USD"], only_ticker=True)
        async with collecting(resources) as board:
            await assert_equals_the_record(resources, paper)
            assert [feed.feed for feed in board.health()] == [f"kraken:{SYMBOL}:ohlcv"]


async def rough_time(paper: PaperExchange, folder: Path, *, exchange_minutes: int, draw: random.Random) -> None:
    """Faults of every kind, one after another, until the exchange is so many minutes older."""
    end_ns = paper.tapes[SYMBOL].now_ns + exchange_minutes * MINUTE_NS
    while paper.tapes[SYMBOL].now_ns < end_ns:
        faults = paper.faults
        kind = draw.choice(("lose", "duplicate", "reorder", "cut", "drop", "refuse", "stalled", "maintenance", "store"))
        if kind in ("lose", "duplicate", "reorder", "cut"):
            setattr(faults, kind, draw.choice((0.05, 0.3)))
        elif kind in ("refuse", "stalled", "maintenance"):
            setattr(faults, kind, True)
        if kind in ("drop", "refuse", "stalled", "maintenance"):
            faults.drop_sockets()
        async with locked(folder / "ohlcv.db") if kind == "store" else nullcontext():
            await asyncio.sleep(draw.uniform(0.2, 1.5))
        faults.clear()
        await asyncio.sleep(draw.uniform(0.1, 0.6))


@pytest.mark.parametrize(
    ("minutes", "speed"), [(5, 60.0), pytest.param(60, 60.0, marks=[pytest.mark.slow, pytest.mark.timeout(600)])]
)
async def test_an_hour_of_every_fault_leaves_the_exchanges_own_record(tmp_path: Path, minutes: int, speed: float) -> None:
    async with staged(tmp_path, source(speed=speed), ticker_reconnect_delay=0.1) as (resources, paper), collecting(resources):
        await rough_time(paper, tmp_path, exchange_minutes=minutes, draw=random.Random(7))
        count = await assert_equals_the_record(resources, paper)
        assert count > 100
        async with resources.bus.subscribe(public_trades_topic(*KEY), delivery=Delivery.LATEST) as mailbox:
            async with asyncio.timeout(WITHIN_S):
                async for _topic, message in mailbox:
                    assert isinstance(message, MarketTrades)
                    break
