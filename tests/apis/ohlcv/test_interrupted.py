"""Imports and exports whose process is killed in the middle: run again, they go on, and nothing differs from one run."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet
import pytest

from fullon_master_api.apis.ohlcv import Fill, OhlcvStore, open_ohlcv
from fullon_master_api.apis.ohlcv.exporting import ExportPlan, ExportReport, export_file
from fullon_master_api.apis.ohlcv.importing import ImportPlan, import_file
from fullon_master_api.model import Candle, MarketTrade, Side, Timeframe

NS = 10**9
DAY_S = 1_700_006_400  # 2023-11-15T00:00:00Z
KEY = ("kraken", "BTC/USD")
ALL = ExportPlan(key=KEY)
TRADES = 6_000
KILLED_AT = """
import os, signal, sys
from functools import partial
from fullon_master_api import files
from fullon_master_api.apis.ohlcv import exporting, importing, parts
from fullon_master_api.cli import cli

last = int(sys.argv.pop(1))
exporting.LIMIT_MAX, parts.CHECKPOINT_ROWS = 500, 2_000
importing.import_file = partial(importing.import_file, batch_rows=1_000)
files.told_to = lambda bar: lambda rows, part: rows >= last and os.kill(os.getpid(), signal.SIGKILL)
cli()
"""


def write_tape(path: Path, count: int) -> None:
    """Trades without ids, three in each instant: the hardest to go on behind."""
    numbers = range(count)
    columns = {
        "ts_ms": [DAY_S * 1000 + number // 3 * 700 for number in numbers],
        "price": [f"{40_000 + number % 977}.{number % 10}" for number in numbers],
        "quantity": [f"0.{1 + number % 99_999:08d}" for number in numbers],
        "side": ["buy" if number % 2 else "sell" for number in numbers],
    }
    pa.parquet.write_table(pa.table(columns), path)


async def run_killed(rows: int, url: str, folder: Path, *words: str) -> None:
    """The command `fullon` with these words, whose process is killed when it has done so many rows."""
    env = {**os.environ, "DATA_DIR": str(folder), "OHLCV_DATABASE_URL": url, "JWT_SECRET_KEY": "a secret that is long enough"}
    command = [sys.executable, "-c", KILLED_AT, str(rows), *words]
    done = await asyncio.to_thread(subprocess.run, command, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr


def names(folder: Path, start: str) -> set[str]:
    return {path.name for path in folder.iterdir() if path.name.startswith(start)}


@pytest.mark.slow
async def test_a_killed_import_goes_on_and_stores_what_one_run_stores(ohlcv_url: str, tmp_path: Path) -> None:
    tape = tmp_path / "tape.parquet"
    write_tape(tape, TRADES)
    words = ("import", str(tape), "--exchange", "kraken", "--symbol", "BTC/USD")
    await run_killed(3_000, ohlcv_url, tmp_path, *words)
    async with open_ohlcv(ohlcv_url) as store:
        report = await import_file(store, tape, ImportPlan(exchange=KEY[0], symbol=KEY[1]), batch_rows=1_000)
        assert (report.resumed_at, report.read, report.stored, report.repeated) == (3_000, 3_000, 3_000, 0)
        whole = await import_file(store, tape, ImportPlan(exchange="whole", symbol=KEY[1]))
        assert (whole.resumed_at, whole.stored) == (0, TRADES)
        for timeframe in Timeframe:
            resumed, at_once = await store.candles([KEY, ("whole", KEY[1])], timeframe, limit=5000)
            assert resumed == at_once
        assert sum(candle.trades or 0 for candle in at_once) == TRADES


@pytest.mark.parametrize(
    "kind", ["csv", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("csv.gz", "parquet", "arrow"))]
)
async def test_a_killed_export_goes_on_and_writes_what_one_run_writes(
    ohlcv_url: str, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fullon_master_api.apis.ohlcv.exporting.LIMIT_MAX", 500)
    write_tape(tmp_path / "tape.parquet", TRADES)
    async with open_ohlcv(ohlcv_url) as store:
        await import_file(store, tmp_path / "tape.parquet", ImportPlan(exchange=KEY[0], symbol=KEY[1]))
    await run_killed(3_500, ohlcv_url, tmp_path, "export", *KEY, str(tmp_path / f"out.{kind}"))
    assert names(tmp_path, "out") == {f"out.{kind}.part", f"out.{kind}.part.json"}
    async with open_ohlcv(ohlcv_url) as store:
        assert await export_file(store, tmp_path / f"out.{kind}", ALL) == ExportReport(rows=TRADES, resumed_at=2_000)
        assert await export_file(store, tmp_path / f"whole.{kind}", ALL) == ExportReport(rows=TRADES, resumed_at=0)
        assert (tmp_path / f"out.{kind}").read_bytes() == (tmp_path / f"whole.{kind}").read_bytes()
        assert names(tmp_path, "out") == {f"out.{kind}"}
        copied = await import_file(store, tmp_path / f"out.{kind}", ImportPlan(exchange=KEY[0], symbol=KEY[1]), dry_run=True)
        assert (copied.read, copied.stored, copied.refused) == (TRADES, TRADES, 0)


@pytest.fixture
async def stored(store: OhlcvStore, monkeypatch: pytest.MonkeyPatch) -> OhlcvStore:
    """300 trades, and pages of 32 rows, each of which is kept."""
    monkeypatch.setattr("fullon_master_api.apis.ohlcv.exporting.LIMIT_MAX", 32)
    monkeypatch.setattr("fullon_master_api.apis.ohlcv.parts.CHECKPOINT_ROWS", 1)
    trades = [
        MarketTrade(trade_id=str(number), event_ns=(DAY_S + number * 17) * NS, price="5.25", quantity="0.5", side=Side.BUY)
        for number in range(300)
    ]
    await store.append_trades(*KEY, trades)
    return store


async def interrupt(store: OhlcvStore, path: Path, plan: ExportPlan, rows: int) -> None:
    def stop(done: int, _part: float) -> None:
        if done >= rows:
            raise InterruptedError

    before = path.read_bytes() if path.exists() else None
    with pytest.raises(InterruptedError):
        await export_file(store, path, plan, progress=stop)
    assert (path.read_bytes() if path.exists() else None) == before


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "parquet", "arrow"])
async def test_an_interrupted_export_of_candles_ends_with_the_open_one_as_it_is_then(
    stored: OhlcvStore, tmp_path: Path, kind: str
) -> None:
    plan = ExportPlan(key=KEY, timeframe=Timeframe.MINUTE_1, fill=Fill.PREVIOUS_CLOSE)
    path, whole = tmp_path / f"out.{kind}", tmp_path / f"whole.{kind}"
    await interrupt(stored, path, plan, 40)
    await interrupt(stored, path, plan, 85)  # the last one is open, and so is its page
    await stored.upsert_candles(*KEY, Timeframe.MINUTE_1, [flat(84 * 60, "7")])
    assert await export_file(stored, path, plan) == ExportReport(rows=85, resumed_at=64)
    assert (await export_file(stored, whole, plan)).resumed_at == 0
    assert path.read_bytes() == whole.read_bytes()


def flat(second: int, price: str) -> Candle:
    return Candle(opened_ns=(DAY_S + second) * NS, open=price, high=price, low=price, close=price, volume="1")


async def test_another_export_to_the_same_file_begins_anew(stored: OhlcvStore, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    await interrupt(stored, path, ALL, 64)
    for other in (
        msgspec.structs.replace(ALL, end_ns=(DAY_S + 1700) * NS),
        msgspec.structs.replace(ALL, timeframe=Timeframe.MINUTE_1),
    ):
        assert (await export_file(stored, path, other)).resumed_at == 0
        await interrupt(stored, path, ALL, 64)
    assert (await export_file(stored, path, ALL, restart=True)).resumed_at == 0
    await interrupt(stored, path, ALL, 64)
    longer = [MarketTrade(trade_id="x", event_ns=(DAY_S + 9000) * NS, price="5.125", quantity="1", side=Side.BUY)]
    await stored.append_trades(*KEY, longer)  # the rows that are written have too few digits now
    assert await export_file(stored, path, ALL) == ExportReport(rows=301, resumed_at=0)


async def test_a_part_that_lost_its_end_is_written_anew(stored: OhlcvStore, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    await interrupt(stored, path, ALL, 64)
    part = tmp_path / "out.csv.part"
    part.write_bytes(part.read_bytes()[:-1])
    assert await export_file(stored, path, ALL) == ExportReport(rows=300, resumed_at=0)
    await interrupt(stored, path, ALL, 64)
    (tmp_path / "out.csv.part.json").write_text("{")
    assert await export_file(stored, path, ALL) == ExportReport(rows=300, resumed_at=0)
    assert len(path.read_text().splitlines()) == 301
