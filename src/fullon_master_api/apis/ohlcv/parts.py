"""A file that is written piece by piece: what is whole of it is kept, so that an interrupted export goes on behind it."""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Final

import msgspec
import pyarrow as pa
import pyarrow.parquet

from fullon_master_api.apis.ohlcv.files import ARROW, CSV, PARQUET, kind_of
from fullon_master_api.apis.ohlcv.tables import csv_lines
from fullon_master_api.errors import BadUserInput
from fullon_master_api.model import Record

CHECKPOINT_ROWS: Final = 20_000
GROUP_ROWS: Final = 100_000


class Whole(Record, frozen=True, kw_only=True):
    """How far a file is written: `size` bytes with `rows` rows, the last one at this instant and with this id."""

    wanted: str = ""
    size: int = 0
    rows: int = 0
    last_ns: int = 0
    last_id: str = ""


class Part:
    """A file on its way: `x.csv.part` grows, `x.csv.part.json` says how much of it is whole, `x.csv` comes when all is there.

    CSV grows as it will be. Parquet and Arrow files end with a table of their contents, so they grow as an Arrow stream,
    of which the file is made at last. `open_part` makes it. Pieces are written in order.
    """

    def __init__(self, path: Path, schema: pa.Schema, wanted: str) -> None:
        self.path, self._schema = path, schema
        self._kind = kind_of(path)
        self._part = path.with_name(f"{path.name}.part")
        self._state = path.with_name(f"{path.name}.part.json")
        self.whole = Whole(wanted=hashlib.sha256(wanted.encode()).hexdigest())
        self._kept_rows = 0
        self._busy = Lock()  # rows are written on a thread, which may still write when its caller is told to stop

    def begin(self, *, restart: bool) -> None:
        """Open it behind what an earlier run of the same export has left, or anew."""
        left = Whole() if restart else self._left()
        if left.wanted == self.whole.wanted:
            self.whole, self._kept_rows = left, left.rows
            self._file = self._part.open("r+b")
            self._file.truncate(left.size)
            self._file.seek(left.size)
            return
        self._state.unlink(missing_ok=True)
        self._file = self._part.open("w+b")
        self._file.write(self._head())

    def _left(self) -> Whole:
        """What is said to be whole; nothing where that cannot be."""
        try:
            left = msgspec.json.decode(self._state.read_bytes(), type=Whole)
            return left if self._part.stat().st_size >= left.size else Whole()
        except (FileNotFoundError, msgspec.MsgspecError):
            return Whole()

    def put(self, table: pa.Table, last_ns: int, last_id: str, *, settled: bool) -> None:
        """Append rows. Where the last one may still change (not `settled`), an interruption leaves them out."""
        with self._busy:
            self._file.write(self._encoded(table))
            if settled:
                rows = self.whole.rows + table.num_rows
                size = self._file.tell()
                self.whole = Whole(wanted=self.whole.wanted, size=size, rows=rows, last_ns=last_ns, last_id=last_id)
            if self.whole.rows - self._kept_rows >= CHECKPOINT_ROWS:
                self._keep()

    def _keep(self) -> None:
        """Note what is whole, after it has reached the disk; the note is there as a whole or not at all."""
        self._file.flush()
        os.fsync(self._file.fileno())
        fresh = self._state.with_name(f"{self._state.name}.new")
        fresh.write_bytes(msgspec.json.encode(self.whole))
        fresh.replace(self._state)
        self._kept_rows = self.whole.rows

    def leave(self) -> None:
        """Stop before the end: what is whole stays for the next run, and where there is nothing, nothing stays."""
        with self._busy:
            if self._file.closed:
                return  # all is written, and the next run makes the file of it where this one did not
            with self._file:
                if self.whole.rows:
                    self._keep()
            if not self.whole.rows:
                self._part.unlink()

    def finish(self) -> None:
        """Give the file its name."""
        with self._busy:
            with self._file:
                if self.whole.rows:
                    self._keep()
            if self._kind in CSV:
                self._part.replace(self.path)
            else:
                made = self._part.with_name(f"{self._part.name}.new")
                self._convert(made)
                made.replace(self.path)
                self._part.unlink()
            self._state.unlink(missing_ok=True)

    def _convert(self, made: Path) -> None:
        with pa.OSFile(str(self._part)) as source, pa.ipc.open_stream(source) as stream:
            if self._kind in PARQUET:
                with pa.parquet.ParquetWriter(made, self._schema, compression="zstd") as parquet:
                    for table in _groups(stream):
                        parquet.write_table(table)
            else:
                with pa.OSFile(str(made), "wb") as sink, pa.ipc.new_file(sink, self._schema) as arrow:
                    for batch in stream:
                        arrow.write_batch(batch)

    def _head(self) -> bytes:
        if self._kind in CSV:
            return self._encoded(self._schema.empty_table(), header=True)
        return self._schema.serialize().to_pybytes()  # type: ignore[no-any-return]

    def _encoded(self, table: pa.Table, *, header: bool = False) -> bytes:
        if self._kind not in CSV:
            return b"".join(batch.serialize().to_pybytes() for batch in table.combine_chunks().to_batches())
        text = csv_lines(table, header=header).encode()
        return gzip.compress(text, mtime=0) if self._kind.endswith(".gz") else text  # members of gzip may follow one another


@contextmanager
def open_part(path: Path, schema: pa.Schema, wanted: str, *, restart: bool = False) -> Generator[Part]:
    """A part to `put` into and to `finish`. `wanted` says what is written: only a run that wants the same goes on with it.

    Raises: BadUserInput for another kind of file.
    """
    if kind_of(path) not in (*CSV, *PARQUET, *ARROW):
        raise BadUserInput(f"{path.name} must end in {', '.join((*CSV, *PARQUET, *ARROW))}")
    part = Part(path, schema, wanted)
    part.begin(restart=restart)
    try:
        yield part
    except BaseException:  # An interruption too leaves what is whole to go on with, and goes on up.
        part.leave()
        raise


def _groups(stream: pa.RecordBatchReader) -> Iterator[pa.Table]:
    """A stream's rows in larger groups, as a Parquet file likes them."""
    batches: list[pa.RecordBatch] = []
    for batch in stream:
        batches.append(batch)
        if sum(held.num_rows for held in batches) >= GROUP_ROWS:
            yield pa.Table.from_batches(batches)
            batches = []
    if batches:
        yield pa.Table.from_batches(batches)
