"""Import and export: every kind of file both ways, each row counted, an interrupted import resumed."""

from __future__ import annotations

import random
from decimal import Decimal
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from fullon_master_api.apis.ohlcv import Fill, OhlcvStore
from fullon_master_api.apis.ohlcv.exporting import ExportPlan, ExportReport, export_file, scan_candles, scan_columns, scan_trades
from fullon_master_api.apis.ohlcv.importing import ImportPlan, RefusedLine, import_file
from fullon_master_api.errors import BadUserInput, NotFound
from fullon_master_api.model import CandleSource, MarketTrade, Side, Timeframe

NS = 10**9
DAY_S = 1_700_006_400  # 2023-11-15T00:00:00Z
KEY = ("kraken", "BTC/USD")
ALL = ExportPlan(key=KEY)
PLAN = ImportPlan(exchange="kraken", symbol="BTC/USD")
KINDS = ["csv", "csv.gz", "parquet", "arrow"]


def some_trades(count: int) -> list[MarketTrade]:
    chance = random.Random(7)
    event_ns = DAY_S * NS
    trades = []
    for number in range(count):
        event_ns += chance.randrange(20 * NS)
        trades.append(
            MarketTrade(
                trade_id=str(1000 + number),
                event_ns=event_ns,
                price=f"{chance.randrange(1, 10**7)}.{chance.randrange(10):01d}",
                quantity=f"0.{chance.randrange(1, 10**8):08d}",
                side=chance.choice([Side.BUY, Side.SELL]),
            )
        )
    return trades


async def everything(store: OhlcvStore, key: tuple[str, str]) -> list[object]:
    """What is stored, without how often it was revised: that is the history of its arrival."""
    found: list[object] = [*(await store.trades([key], limit=5000))[0]]
    for timeframe in Timeframe:
        (candles,) = await store.candles([key], timeframe, limit=5000)
        found.extend(msgspec.structs.replace(candle, revision=0) for candle in candles)
    return found


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_exported_comes_back_the_same(store: OhlcvStore, tmp_path: Path, kind: str) -> None:
    await store.append_trades(*KEY, some_trades(700))
    seen: list[tuple[int, float]] = []
    done = await export_file(store, tmp_path / f"trades.{kind}", ALL, progress=lambda rows, part: seen.append((rows, part)))
    assert (done, seen) == (ExportReport(rows=700, resumed_at=0), [(700, 1.0)])
    assert [path.name for path in tmp_path.iterdir() if "trades" in path.name] == [f"trades.{kind}"]
    plan = ImportPlan(exchange="copy", symbol="BTC/USD")
    report = await import_file(store, tmp_path / f"trades.{kind}", plan, batch_rows=300)
    assert (report.read, report.stored, report.repeated, report.refused) == (700, 700, 0, 0)
    assert await everything(store, ("copy", "BTC/USD")) == await everything(store, KEY)
    again = await import_file(store, tmp_path / f"trades.{kind}", plan)
    assert (again.read, again.stored, again.repeated, again.resumed_at) == (700, 0, 700, 0)


@pytest.mark.parametrize("kind", KINDS)
async def test_candles_go_out_and_come_back(store: OhlcvStore, tmp_path: Path, kind: str) -> None:
    await store.append_trades(*KEY, some_trades(300))
    wanted = ExportPlan(key=KEY, timeframe=Timeframe.MINUTE_1)
    rows = (await export_file(store, tmp_path / f"candles.{kind}", wanted)).rows
    plan = ImportPlan(exchange="copy", symbol="BTC/USD", timeframe=Timeframe.MINUTE_1)
    report = await import_file(store, tmp_path / f"candles.{kind}", plan)
    assert (report.stored, report.refused) == (rows, 0)
    for timeframe in (Timeframe.MINUTE_1, Timeframe.HOUR_1, Timeframe.DAY_1, Timeframe.MINUTE_15):
        (made,), (copied,) = (
            await store.candles([KEY], timeframe, limit=5000),
            await store.candles([("copy", "BTC/USD")], timeframe, limit=5000),
        )
        if timeframe is Timeframe.MINUTE_1:
            copied = [msgspec.structs.replace(bar, source=CandleSource.TRADES) for bar in copied]
        assert copied == made
    assert [bar.final for bar in (await store.candles([KEY], Timeframe.MINUTE_1, limit=2))[0]] == [True, False]
    origins = await store.origins(("copy", "BTC/USD"), Timeframe.MINUTE_1, start_ns=0, end_ns=2 * DAY_S * NS)
    assert {origin.source for origin in origins} == {CandleSource.IMPORT}


async def test_candles_made_up_for_gaps_are_not_stored_when_they_come_back(store: OhlcvStore, tmp_path: Path) -> None:
    await store.append_trades(*KEY, [trade for number, trade in enumerate(some_trades(300)) if not 20 < number < 80])
    path = tmp_path / "filled.csv"
    plan = ExportPlan(key=KEY, timeframe=Timeframe.MINUTE_1, fill=Fill.PREVIOUS_CLOSE)
    rows = (await export_file(store, path, plan)).rows
    (real,) = await store.candles([KEY], Timeframe.MINUTE_1, limit=5000)
    report = await import_file(store, path, ImportPlan(exchange="copy", symbol="BTC/USD", timeframe=Timeframe.MINUTE_1))
    assert (report.read, report.stored, report.refused) == (rows, len(real), rows - len(real))
    assert {refusal.reason for refusal in report.refusals} == {
        "the candle stands in for a span without trades, which is not stored"
    }
    (copied,) = await store.candles([("copy", "BTC/USD")], Timeframe.MINUTE_1, limit=5000)
    assert [msgspec.structs.replace(bar, source=CandleSource.TRADES) for bar in copied] == real


async def test_weeks_of_a_zone_are_exported(store: OhlcvStore, tmp_path: Path) -> None:
    await store.append_trades(*KEY, some_trades(10))
    plan = ExportPlan(key=KEY, timeframe=Timeframe.WEEK_1, zone="Europe/Madrid")
    assert (await export_file(store, tmp_path / "weeks.csv", plan)).rows == 1


async def test_an_interrupted_import_goes_on_where_it_stopped(store: OhlcvStore, tmp_path: Path) -> None:
    await store.append_trades(*KEY, some_trades(250))
    path = tmp_path / "trades.csv"
    await export_file(store, path, ALL)
    plan = ImportPlan(exchange="copy", symbol="BTC/USD")

    def stop_after_two(rows: int, _part: float) -> None:
        if rows == 200:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        await import_file(store, path, plan, batch_rows=100, progress=stop_after_two)
    assert len((await store.trades([("copy", "BTC/USD")], limit=5000))[0]) == 200
    report = await import_file(store, path, plan, batch_rows=100)
    assert (report.resumed_at, report.read, report.stored) == (200, 50, 50)
    assert await everything(store, ("copy", "BTC/USD")) == await everything(store, KEY)


async def test_rows_without_ids_get_the_same_ids_again_also_after_an_interruption(store: OhlcvStore, tmp_path: Path) -> None:
    stamps = [DAY_S * 1000 + number // 3 for number in range(20)]  # three trades in each millisecond, across batches
    table = pa.table({"ts_ms": stamps, "price": [100.5] * 20, "size": [1e-7] * 20})
    path = tmp_path / "tape.parquet"
    pa.parquet.write_table(table, path)
    plan = ImportPlan(exchange="us", symbol="SPY", side=Side.BUY)

    def stop(rows: int, _part: float) -> None:
        if rows == 8:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        await import_file(store, path, plan, batch_rows=4, progress=stop)
    report = await import_file(store, path, plan, batch_rows=4)
    assert (report.resumed_at, report.stored) == (8, 12)
    (found,) = await store.trades([("us", "SPY")], limit=100)
    assert len(found) == 20
    assert [trade.trade_id for trade in found[:4]] == [f"{DAY_S}000000000-{count}" for count in range(3)] + [
        f"{DAY_S}001000000-0"
    ]
    assert {trade.quantity for trade in found} == {"0.0000001"}
    assert (await import_file(store, path, plan, batch_rows=7)).repeated == 20


async def test_bad_lines_are_reported_with_their_number_and_the_rest_is_stored(store: OhlcvStore, tmp_path: Path) -> None:
    path = tmp_path / "mixed.csv"
    path.write_text(
        "Timestamp,trade_id,Price,amount,side\n"
        f"{DAY_S}.25,1,100.10,0.5,buy\n"
        "2023-11-15T00:00:01+02:00,2,100.20,1e-3,SELL\n"
        "2023-11-15T00:00:02,3,100.30,1,buy\n"
        f"{DAY_S + 3},4,NaN,1,buy\n"
        f"{DAY_S + 4},5,100.40,1,hold\n"
        f"{DAY_S + 5},6,100.50\n"
        f"{DAY_S + 6},7,,1,buy\n"
        f"{DAY_S + 7}000,8,100.60,2,b\n"
    )
    report = await import_file(store, path, PLAN)
    assert (report.read, report.stored, report.repeated, report.refused) == (8, 3, 0, 5)
    lines = {refusal.line: refusal.reason for refusal in report.refusals}
    assert list(lines) == [4, 5, 6, 7, 8]
    assert "must be a time with a zone" in lines[4]
    assert "NaN" in lines[5]
    assert "must be buy or sell" in lines[6]
    assert "does not have 5 columns" in lines[7]
    assert lines[8] == "Price is missing"
    (found,) = await store.trades([KEY])
    assert [(trade.trade_id, trade.event_ns - DAY_S * NS, trade.price, trade.quantity) for trade in found] == [
        ("2", -7199 * NS, "100.2", "0.001"),
        ("1", NS // 4, "100.1", "0.500"),
        ("8", 7 * NS, "100.6", "2.000"),
    ]


async def test_a_dry_run_reports_and_changes_nothing(store: OhlcvStore, tmp_path: Path) -> None:
    path = tmp_path / "dry.csv"
    path.write_text(f"time,id,price,qty,side\n{DAY_S},1,5,1,buy\n{DAY_S},2,-5,1,buy\n")
    report = await import_file(store, path, PLAN, dry_run=True)
    assert (report.read, report.stored, report.refused, report.series) == (2, 1, 1, [KEY])
    assert [refusal.line for refusal in report.refusals] == [3]
    assert await store.series() == []


async def test_a_file_of_many_series_names_them_by_its_columns(store: OhlcvStore, tmp_path: Path) -> None:
    table = pa.table(
        {
            "exchange": ["binance", "binance", "binance"],
            "market": ["spot", "future", "spot"],
            "symbol": ["ADA", "ADA", "ADA"],
            "timeframe": ["1m", "1m", "5m"],
            "ts_ms": [DAY_S * 1000] * 3,
            "open": [0.1, 0.2, 0.3],
            "high": [0.1, 0.2, 0.3],
            "low": [0.1, 0.2, 0.3],
            "close": [0.1, 0.2, 0.3],
            "volume": [274004.0, 0.30000000000000004, 1.0],
        }
    )
    path = tmp_path / "many.parquet"
    pa.parquet.write_table(table, path)
    plan = ImportPlan(symbol="{symbol}:{market}", timeframe=Timeframe.MINUTE_1)
    report = await import_file(store, path, plan)
    assert (report.stored, report.refusals) == (2, [RefusedLine(line=3, reason="timeframe was 5m")])
    assert await store.series() == [("binance", "ADA:future"), ("binance", "ADA:spot")]
    ((future,),) = await store.candles([("binance", "ADA:future")], Timeframe.DAY_1)
    assert (future.close, future.volume) == ("0.2", "0.30000000000000004")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("trades.json", "{}", "must end in"),
        ("trades.csv", "time,price\n1,2\n", "must have a column quantity"),
        ("trades.csv", "time,price,size\n1,2,3\n", "must have a column side"),
        ("trades.csv.gz", "not compressed", "must be a csv.gz file"),
        ("trades.parquet", "not parquet", "must be a parquet file"),
        ("trades.arrow", "not arrow", "must be a arrow file"),
    ],
)
async def test_a_file_that_does_not_fit_is_refused_as_a_whole(
    store: OhlcvStore, tmp_path: Path, name: str, text: str, message: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(BadUserInput, match=message):
        await import_file(store, tmp_path / name, PLAN)
    with pytest.raises(NotFound):
        await import_file(store, tmp_path / "absent.csv", PLAN)
    (tmp_path / "good.csv").write_text(f"time,id,price,qty,side\n{DAY_S},1,5,1,buy\n")
    with pytest.raises(BadUserInput, match="needs a column"):
        await import_file(store, tmp_path / "good.csv", ImportPlan(exchange="{venue}", symbol="x"))
    assert await store.series() == []


async def test_the_bulk_path_and_the_live_path_store_the_same(store: OhlcvStore, tmp_path: Path) -> None:
    trades = some_trades(900)
    shuffled = random.Random(3).sample(trades, 900)
    rows = [[t.trade_id, t.event_ns, t.price, t.quantity, t.side.value] for t in [*shuffled, *shuffled[:100]]]
    names = ["trade_id", "ts_ns", "price", "quantity", "side"]
    pa.parquet.write_table(pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))), tmp_path / "bulk.parquet")
    for start in range(0, 900, 50):
        await store.append_trades("live", "BTC/USD", trades[start : start + 50])
    report = await import_file(store, tmp_path / "bulk.parquet", ImportPlan(exchange="bulk", symbol="BTC/USD"), batch_rows=250)
    assert (report.stored, report.repeated) == (900, 100)
    assert await everything(store, ("bulk", "BTC/USD")) == await everything(store, ("live", "BTC/USD"))


@pytest.mark.parametrize("stamp", ["{0}", "{0}.25", "{0}000", "{0}000000000", "2023-11-15T01:{1:02d}:{2:02d}.000001+01:00"])
async def test_lines_read_at_once_and_one_by_one_are_stored_the_same(store: OhlcvStore, tmp_path: Path, stamp: str) -> None:
    lines = ["time,trade_id,price,amount,side"]
    for number in range(300):
        time = stamp.format(DAY_S + number, number // 60, number % 60)
        lines.append(f"{time},{7000 + number},{100 + number}.50,1e-{number % 8},{'Buy' if number % 3 else 'SELL'}")
    (tmp_path / "good.csv").write_text("\n".join(lines))
    (tmp_path / "one_bad.csv").write_text("\n".join([*lines, f"{DAY_S},9000,0,1,buy"]))  # its batch is looked at row by row
    assert (await import_file(store, tmp_path / "good.csv", ImportPlan(exchange="bulk", symbol="BTC/USD"))).stored == 300
    report = await import_file(store, tmp_path / "one_bad.csv", ImportPlan(exchange="rows", symbol="BTC/USD"))
    assert (report.stored, [refusal.line for refusal in report.refusals]) == (300, [302])
    assert await everything(store, ("bulk", "BTC/USD")) == await everything(store, ("rows", "BTC/USD"))


async def test_a_scan_reads_all_pages_once(store: OhlcvStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fullon_master_api.apis.ohlcv.exporting.LIMIT_MAX", 64)
    trades = some_trades(400)
    await store.append_trades(*KEY, trades)
    scanned = [trade async for page in scan_trades(store, KEY) for trade in page]
    assert [trade.trade_id for trade in scanned] == [trade.trade_id for trade in trades]
    half = [
        trade
        async for page in scan_trades(store, KEY, start_ns=trades[100].event_ns, end_ns=trades[300].event_ns)
        for trade in page
    ]
    assert [trade.trade_id for trade in half] == [trade.trade_id for trade in trades[100:300]]
    (whole,) = await store.candles([KEY], Timeframe.MINUTE_1, limit=5000)
    assert [bar async for page in scan_candles(store, KEY, Timeframe.MINUTE_1) for bar in page] == whole
    closes = [close async for page in scan_columns(store, KEY, Timeframe.MINUTE_1) for close in page.close]
    assert [Decimal(str(close)) for close in closes] == [Decimal(bar.close) for bar in whole]
    first_ns, last_ns = whole[0].opened_ns, whole[-1].opened_ns
    pages = scan_candles(store, KEY, Timeframe.MINUTE_1, start_ns=first_ns, end_ns=last_ns + 1, fill=Fill.PREVIOUS_CLOSE)
    filled = [bar async for page in pages for bar in page]
    assert [bar.opened_ns for bar in filled] == list(range(first_ns, last_ns + 1, 60 * NS))


async def test_what_was_never_stored_is_not_exported(store: OhlcvStore, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        await export_file(store, tmp_path / "none.csv", ExportPlan(key=("x", "y")))
    assert list(tmp_path.glob("none*")) == []
