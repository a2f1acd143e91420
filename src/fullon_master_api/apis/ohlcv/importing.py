"""Trades and candles from a file into the store: any size, repeatable, resumed where it stopped."""

from __future__ import annotations

import asyncio
import copy
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from fullon_master_api.apis.ohlcv import columns, writing
from fullon_master_api.apis.ohlcv import statements as sql
from fullon_master_api.apis.ohlcv.bulk import TradeColumns, Unusual, append_columns
from fullon_master_api.apis.ohlcv.columns import Layout, MadeIds
from fullon_master_api.apis.ohlcv.door import CandleRow, TradeRow, check_candles, check_names, check_trades
from fullon_master_api.apis.ohlcv.files import BATCH_ROWS, open_source
from fullon_master_api.apis.ohlcv.files import Source as File
from fullon_master_api.apis.ohlcv.frames import STORED, WIDTH_S, parse_timeframe
from fullon_master_api.apis.ohlcv.scaling import Decimals
from fullon_master_api.apis.ohlcv.spans import Key
from fullon_master_api.apis.ohlcv.steps import Run, Transaction
from fullon_master_api.apis.ohlcv.store import OhlcvStore
from fullon_master_api.errors import BadUserInput, GatewayError
from fullon_master_api.model import CandleSource, Record, Side, Timeframe

REFUSALS_KEPT: Final = 1000
Progress = Callable[[int, float], None]
"""Called after each batch with (rows done, part of the file that is done, 0 to 1)."""


class RefusedLine(Record, frozen=True, kw_only=True):
    line: int  # of a CSV file with its header as line 1; of other files the row, from 1
    reason: str


class ImportReport(Record, frozen=True, kw_only=True):
    """What an import did: `read` = `stored` + `repeated` + `refused`; of a dry run `stored` is what would be tried.

    `resumed_at` rows were done by an earlier run that was interrupted. The first 1,000 refusals are kept.
    """

    read: int
    stored: int
    repeated: int
    refused: int
    resumed_at: int
    refusals: list[RefusedLine]
    series: list[Key]


class ImportPlan(Record, frozen=True, kw_only=True):
    """What to import and as what. `exchange` and `symbol` may name columns in braces: `{symbol}:{market}`.

    `timeframe` None imports trades, else candles of 1m, 1h or 1d. `side` is the taker's side of a file that has none.
    """

    exchange: str = "{exchange}"
    symbol: str = "{symbol}"
    timeframe: Timeframe | None = None
    side: Side | None = None
    price_decimals: int | None = None
    quantity_decimals: int | None = None


@dataclass(slots=True)
class Counts:
    read: int = 0
    stored: int = 0
    repeated: int = 0
    refusals: list[RefusedLine] = field(default_factory=list)
    refused: int = 0
    series: dict[Key, None] = field(default_factory=dict)

    def refuse(self, line: int, reason: str) -> None:
        self.refused += 1
        if len(self.refusals) < REFUSALS_KEPT:
            self.refusals.append(RefusedLine(line=line, reason=reason))


@dataclass(slots=True)
class Piece:
    """Rows of one series of a batch, ready for the store: trades as columns or rows, or candles."""

    key: Key
    rows: TradeColumns | list[TradeRow] | list[CandleRow]
    count: int


async def import_file(
    store: OhlcvStore,
    path: Path,
    plan: ImportPlan,
    *,
    dry_run: bool = False,
    restart: bool = False,
    batch_rows: int = BATCH_ROWS,
    progress: Progress | None = None,
) -> ImportReport:
    """Read a CSV, Parquet or Arrow file batch by batch, each stored in one transaction together with how far it came.

    What is stored already is a repeat, so the same file may be imported again; an interrupted import goes on where it
    stopped, unless `restart`. Raises: NotFound; BadUserInput for a file without the needed columns; StoreUnavailable.
    """
    if plan.timeframe is not None and plan.timeframe not in STORED:
        raise BadUserInput(f"candles of {plan.timeframe.value} are not stored: import 1m, 1h or 1d")
    compute = store.driver.compute
    with open_source(path, batch_rows=batch_rows) as source:
        reader = _Reader(source, plan)
        name = await compute(partial(_fingerprint, path, plan))
        done = [] if restart or dry_run else await store.driver.read(sql.READ_IMPORT, name)
        resumed_at = done[0][0] if done else 0
        counts = Counts()
        batches = _Batches(source, reader, counts, resumed_at)
        ready = await compute(batches.next)
        while ready is not None:
            # The next batch is read while this one is written.
            upcoming = asyncio.create_task(compute(batches.next), name="import:read")
            try:
                valid = sum(piece.count for piece in ready.pieces)
                write = partial(_store, ready.pieces, plan, name, ready.position)
                stored = valid if dry_run else await store.driver.write(write)
                counts.stored += stored
                counts.repeated += valid - stored
                if progress is not None:
                    progress(ready.position, source.part_of(ready.position))
            finally:
                following = await upcoming
            ready = following
        if not dry_run:
            await store.driver.write(partial(_finish, name))
        for line, text in source.malformed:
            counts.read += 1
            counts.refuse(line, f"the row does not have {len(source.columns)} columns: {text[:80]}")
    return ImportReport(
        read=counts.read,
        stored=counts.stored,
        repeated=counts.repeated,
        refused=counts.refused,
        resumed_at=resumed_at,
        refusals=sorted(counts.refusals, key=lambda refusal: refusal.line),
        series=list(counts.series),
    )


@dataclass(slots=True)
class Batch:
    pieces: list[Piece]
    position: int  # rows of the file that are done when this is stored


class _Batches:
    """The file's batches, ready for the store one after the other; those of an earlier run are passed over."""

    def __init__(self, file: File, reader: _Reader, counts: Counts, resumed_at: int) -> None:
        self._file, self._reader, self._counts, self._resumed_at = file, reader, counts, resumed_at
        self._position = 0

    def next(self) -> Batch | None:
        for batch in self._file.batches:
            lines = self._file.take_lines(batch.num_rows)
            self._position += batch.num_rows
            if self._position <= self._resumed_at:
                self._reader.skip(batch)
                continue
            pieces = self._reader.pieces(batch, lines, self._counts)
            self._counts.read += batch.num_rows
            return Batch(pieces, self._position)
        return None


class _Reader:
    """Turns batches of a file into pieces of one series each."""

    def __init__(self, file: File, plan: ImportPlan) -> None:
        self._plan = plan
        self._exchange = columns.template_of(plan.exchange, file.columns)
        self._symbol = columns.template_of(plan.symbol, file.columns)
        self._fields = columns.fields_of(plan.exchange, plan.symbol)
        self._layout: Layout
        if plan.timeframe is None:
            self._layout = columns.trade_layout(file.columns, plan.side)
        else:
            self._layout = columns.candle_layout(file.columns)
        self._timeframe_column = "timeframe" if plan.timeframe is not None and "timeframe" in file.columns else None
        self._made: dict[Key, MadeIds] = {}

    def skip(self, batch: pa.RecordBatch) -> None:
        """Pass over rows that are stored; ids made for them must be counted all the same."""
        if self._plan.timeframe is None and self._layout.trade_id is None:
            self.pieces(batch, range(batch.num_rows), Counts())

    def pieces(self, batch: pa.RecordBatch, lines: Sequence[int], counts: Counts) -> list[Piece]:
        found = []
        for key, part, numbers in self._series(batch, lines):
            try:
                check_names(*key)
            except BadUserInput as error:
                for row_line in numbers:
                    counts.refuse(row_line, error.message)
                continue
            counts.series[key] = None
            piece = (
                self._trades(key, part, lines, counts)
                if self._plan.timeframe is None
                else self._candles(key, part, numbers, counts)
            )
            if piece.count:
                found.append(piece)
        return found

    def _series(self, batch: pa.RecordBatch, lines: Sequence[int]) -> Iterator[tuple[Key, pa.RecordBatch, Sequence[int]]]:
        """The batch cut by series, with the line of each row."""
        if not self._fields:
            yield (self._exchange({}), self._symbol({})), batch, lines
            return
        names = batch.select(self._fields).to_pylist()
        positions: dict[Key, list[int]] = {}
        for position, row in enumerate(names):
            positions.setdefault((self._exchange(row), self._symbol(row)), []).append(position)
        for key, taken in positions.items():
            yield key, batch.take(pa.array(taken)), [lines[position] for position in taken]

    def _trades(self, key: Key, batch: pa.RecordBatch, lines: Sequence[int], counts: Counts) -> Piece:
        made = self._made.setdefault(key, MadeIds())
        attempt = copy.copy(made)
        try:
            found = columns.trade_columns(batch, self._layout, self._plan.side, attempt)
        except Unusual:
            return self._trades_one_by_one(key, batch, lines, counts)
        self._made[key] = attempt
        return Piece(key, found, batch.num_rows)

    def _trades_one_by_one(self, key: Key, batch: pa.RecordBatch, lines: Sequence[int], counts: Counts) -> Piece:
        trades, kept = [], []
        for line, row in zip(lines, _rows(batch), strict=True):
            try:
                trades.append(columns.trade_of(row, self._layout, self._plan.side, self._made[key]))
                kept.append(line)
            except ValueError as error:
                counts.refuse(line, str(error))
        rows, refused = check_trades(trades)
        for found in refused:
            counts.refuse(kept[found.position], found.reason)
        return Piece(key, rows, len(rows))

    def _candles(self, key: Key, batch: pa.RecordBatch, lines: Sequence[int], counts: Counts) -> Piece:
        candles, kept = [], []
        assert self._plan.timeframe is not None, "candles have a timeframe"
        for line, row in zip(lines, _rows(batch), strict=True):
            try:
                self._check_timeframe(row)
                candles.append(columns.candle_of(row, self._layout))
                kept.append(line)
            except (ValueError, GatewayError) as error:
                counts.refuse(line, str(error))
        rows, refused = check_candles(candles, self._plan.timeframe)
        for found in refused:
            counts.refuse(kept[found.position], found.reason)
        return Piece(key, rows, len(candles) - len(refused))

    def _check_timeframe(self, row: dict[str, Any]) -> None:
        if self._timeframe_column is not None:
            found = parse_timeframe(str(row[self._timeframe_column]))
            if found is not self._plan.timeframe:
                raise ValueError(f"timeframe was {found.value}")


def _rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Rows by name. Timestamps become integers of nanoseconds first: a `datetime` would drop the last three digits."""
    for number, kind in enumerate(batch.schema.types):
        if pa.types.is_timestamp(kind) and kind.tz is not None:
            stamps = batch.column(number).cast(pa.timestamp("ns", kind.tz)).cast(pa.int64())
            batch = batch.set_column(number, batch.schema.names[number], stamps)
    found: list[dict[str, Any]] = batch.to_pylist()
    return found


def _store(pieces: Sequence[Piece], plan: ImportPlan, name: str, position: int) -> Transaction[int]:
    """One batch; the answer is how many rows were new."""
    decimals = Decimals(plan.price_decimals, plan.quantity_decimals)
    stored = 0
    for piece in sorted(pieces, key=lambda piece: piece.key):  # one order of locks, so that two imports cannot block each other
        exchange, symbol = piece.key
        if isinstance(piece.rows, TradeColumns):
            stored += yield from append_columns(exchange, symbol, piece.rows, decimals=decimals)
        elif plan.timeframe is None:
            rows: Any = piece.rows
            _, new, _ = yield from writing.append_trades(exchange, symbol, rows, decimals=decimals, covered=None, fence=None)
            stored += len(new)
        else:
            width_s, bars = WIDTH_S[plan.timeframe], piece.rows
            candles: Any = bars
            _, changed = yield from writing.upsert_candles(
                exchange, symbol, width_s, candles, source=CandleSource.IMPORT, decimals=decimals, fence=None
            )
            stored += len(changed)
    yield Run(sql.SET_IMPORT, (name, position))
    return stored


def _finish(name: str) -> Transaction[None]:
    yield Run(sql.DROP_IMPORT, (name,))


def _fingerprint(path: Path, plan: ImportPlan) -> str:
    """Names this import of this file: its content by size and both ends, and what it is imported as."""
    size = path.stat().st_size
    digest = hashlib.sha256(f"{size} {plan}".encode())
    with path.open("rb") as file:
        digest.update(file.read(1_000_000))
        file.seek(max(0, size - 1_000_000))
        digest.update(file.read())
    return digest.hexdigest()
