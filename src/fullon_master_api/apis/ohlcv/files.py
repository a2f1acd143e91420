"""CSV, Parquet and Arrow files as batches of named columns, in bounded memory."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from fullon_master_api.errors import BadUserInput, NotFound

BATCH_ROWS: Final = 50_000
BLOCK_BYTES: Final = 4_000_000
CSV: Final = (".csv", ".txt", ".csv.gz")
PARQUET: Final = (".parquet", ".pq")
ARROW: Final = (".arrow", ".feather", ".ipc", ".arrows")


@dataclass(slots=True)
class Source:
    """An open file: its columns, its batches with the line of their first row, and which part of it some rows are.

    `part_of` takes the number of rows that were read; it is exact where the file says how many it has, else by its bytes.
    `malformed` are lines of CSV without the right number of columns: (line, text).
    """

    columns: list[str]
    part_of: Callable[[int], float]
    first_line: int
    batches: Iterator[pa.RecordBatch]
    malformed: list[tuple[int, str]] = field(default_factory=list)
    _next_line: int = 0

    def take_lines(self, count: int) -> Sequence[int]:
        """Line numbers of the next `count` rows, which leave out the malformed ones; asked once for each batch in turn."""
        line = self._next_line or self.first_line
        if not self.malformed or self.malformed[-1][0] < line:
            self._next_line = line + count
            return range(line, line + count)
        left_out = {line for line, _ in self.malformed}
        lines: list[int] = []
        while len(lines) < count:
            if line not in left_out:
                lines.append(line)
            line += 1
        self._next_line = line
        return lines


@contextmanager
def open_source(path: Path, *, batch_rows: int = BATCH_ROWS) -> Generator[Source]:
    """Raises: NotFound; BadUserInput for a file that is not what its name says."""
    if not path.is_file():
        raise NotFound(f"there is no file {path}")
    opener = _opener(path)
    try:
        with opener(path, batch_rows) as source:
            yield source
    except (pa.ArrowInvalid, gzip.BadGzipFile) as error:
        raise BadUserInput(f"{path.name} must be a {kind_of(path)[1:]} file: {error}") from error


def kind_of(path: Path) -> str:
    """How the file's name ends: `.csv`, and `.csv.gz` for a compressed one."""
    return "".join(path.suffixes[-2:] if path.suffix.lower() == ".gz" else path.suffixes[-1:]).lower()


def _opener(path: Path) -> Any:
    suffix = kind_of(path)
    for suffixes, opener in ((CSV, _open_csv), (PARQUET, _open_parquet), (ARROW, _open_arrow)):
        if suffix in suffixes:
            return opener
    raise BadUserInput(f"{path.name} must end in {', '.join((*CSV, *PARQUET, *ARROW))}")


@contextmanager
def _open_csv(path: Path, batch_rows: int) -> Generator[Source]:
    """Every value stays text: what a number's digits were is not lost to a guess."""
    malformed: list[tuple[int, str]] = []

    def skip(row: Any) -> str:
        malformed.append((row.number or 0, row.text))
        return "skip"

    packed = kind_of(path).endswith(".gz")
    with gzip.open(path) if packed else path.open("rb") as file:
        head = file.readline(100_000).decode("utf-8-sig", errors="replace").strip()
    names = [name.strip().strip('"') for name in head.split(",")]
    reading = pa.csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES)
    parsing = pa.csv.ParseOptions(invalid_row_handler=skip)
    converting = pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False)
    with (
        pa.OSFile(str(path)) as raw,
        pa.CompressedInputStream(raw, "gzip") if packed else raw as plain,
        pa.csv.open_csv(plain, reading, parsing, converting) as reader,
    ):
        yield Source(reader.schema.names, _by_bytes(raw), 2, _cut(reader, batch_rows), malformed)


@contextmanager
def _open_parquet(path: Path, batch_rows: int) -> Generator[Source]:
    with pa.parquet.ParquetFile(path) as file:
        batches, total = file.iter_batches(batch_size=batch_rows), max(file.metadata.num_rows, 1)
        yield Source(file.schema_arrow.names, lambda rows: rows / total, 1, _cut(batches, batch_rows))


@contextmanager
def _open_arrow(path: Path, batch_rows: int) -> Generator[Source]:
    with pa.memory_map(str(path)) as mapped:
        try:
            file = pa.ipc.open_file(mapped)
            batches = (file.get_batch(number) for number in range(file.num_record_batches))
            total = max(sum(file.get_batch(number).num_rows for number in range(file.num_record_batches)), 1)
            yield Source(file.schema.names, lambda rows: rows / total, 1, _cut(batches, batch_rows))
        except pa.ArrowInvalid:
            mapped.seek(0)
            stream = pa.ipc.open_stream(mapped)
            yield Source(stream.schema.names, _by_bytes(mapped), 1, _cut(stream, batch_rows))


def _by_bytes(file: pa.NativeFile) -> Callable[[int], float]:
    size = max(file.size(), 1)
    return lambda _rows: min(1.0, file.tell() / size)


def _cut(batches: Any, batch_rows: int) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for start in range(0, batch.num_rows, batch_rows):
            yield batch.slice(start, batch_rows)
