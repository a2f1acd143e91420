"""The candle store's SQLite file: one writing thread, a few reading ones."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final, TypeVar

import orjson

from fullon_master_api.apis.ohlcv.schema import GET_VERSION, SET_VERSION, SQLITE_STEPS, VERSION
from fullon_master_api.apis.ohlcv.statements import insert, sqlite_sql
from fullon_master_api.apis.ohlcv.steps import DropPartitions, InsertMany, KeepPartitions, Rows, Run, Step, Transaction
from fullon_master_api.errors import ServerShutdown, StoreUnavailable
from fullon_master_api.tracing import note_statement

T = TypeVar("T")
READERS: Final = 3
ROWS_A_STATEMENT: Final = 64  # of 13 columns at most: below 999 parameters, which every build of SQLite takes
PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",  # a power cut loses at most the last commits, which the feeds fetch again
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -32000",
    "PRAGMA mmap_size = 268435456",
)


class SqliteDriver:
    """One file. Statements run on threads of its own: reads beside one another, writes one after the other."""

    def __init__(self, path: Path, *, timeout_s: float, migrate: bool) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="ohlcv-write")
        self._reading = ThreadPoolExecutor(READERS, thread_name_prefix="ohlcv-read")
        self._readers: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        self._closed = False
        if migrate:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        elif not path.exists():
            raise StoreUnavailable(f"there is no candle store at {path}: run `fullon migrate`")
        with _unavailable(path):
            self._writer = self._connect()
            self._migrate(write=migrate)
            for _ in range(READERS):
                reader = self._connect()
                reader.execute("PRAGMA query_only = ON")
                self._readers.put(reader)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=self._timeout_s, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        for pragma in PRAGMAS:
            connection.execute(pragma)
        return connection

    def _migrate(self, *, write: bool) -> None:
        """Bring the tables to this program's version; one process does it, others wait for its lock."""
        writer = self._writer
        writer.execute("BEGIN IMMEDIATE")
        try:
            if not writer.execute("SELECT 1 FROM sqlite_master WHERE name = 'market_schema'").fetchall():
                if not write:
                    raise StoreUnavailable(f"the candle store at {self._path} has no tables: run `fullon migrate`")
                writer.execute("CREATE TABLE market_schema (version INTEGER NOT NULL) STRICT")
                writer.execute("INSERT INTO market_schema VALUES (0)")
            (version,) = writer.execute(GET_VERSION).fetchone()
            if version > VERSION or (version < VERSION and not write):
                raise StoreUnavailable(f"the candle store's schema is {version}, this program's is {VERSION}")
            for statement in (statement for step in SQLITE_STEPS[version:] for statement in step):
                writer.execute(statement)
            if version < VERSION:
                writer.execute(sqlite_sql(SET_VERSION), (VERSION,))
        except BaseException:  # Whatever it is, half a change is undone before it goes on up.
            writer.execute("ROLLBACK")
            raise
        writer.execute("COMMIT")

    async def read(self, sql: str, *args: Any) -> Rows:
        self._check_open()
        text = sqlite_sql(sql)
        with note_statement(text) as note:
            rows = await asyncio.get_running_loop().run_in_executor(self._reading, self._read, text, args)
            if note is not None:
                note.rows = len(rows)
        return rows

    def _check_open(self) -> None:
        """Raises: ServerShutdown for a request that outlived the store."""
        if self._closed:
            raise ServerShutdown("the candle store is closed")

    def _read(self, sql: str, args: tuple[Any, ...]) -> Rows:
        reader = self._readers.get()
        try:
            with _unavailable(self._path):
                return reader.execute(sql, _arguments(args)).fetchall()
        finally:
            self._readers.put(reader)

    async def write(self, begin: Callable[[], Transaction[T]]) -> T:
        self._check_open()
        return await asyncio.get_running_loop().run_in_executor(self._writing, self._write, begin)

    def _write(self, begin: Callable[[], Transaction[T]]) -> T:
        with _unavailable(self._path):
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                result = self._drive(begin())
            except BaseException:  # Whatever it is, half a change is undone before it goes on up.
                self._writer.execute("ROLLBACK")
                raise
            self._writer.execute("COMMIT")
            return result

    def _drive(self, transaction: Transaction[T]) -> T:
        rows: Rows | None = None
        while True:
            try:
                step = next(transaction) if rows is None else transaction.send(rows)
            except StopIteration as stop:
                result: T = stop.value
                return result
            rows = self._run(step)

    def _run(self, step: Step) -> Rows:
        match step:
            case Run(sql, args):
                return self._writer.execute(sqlite_sql(sql), _arguments(args)).fetchall()
            case InsertMany():
                self._insert(step)
            case KeepPartitions() | DropPartitions():
                pass
        return []

    def _insert(self, step: InsertMany) -> None:
        """Many rows by one statement, where there are many: what a statement costs beside its rows is shared by them."""
        single = sqlite_sql(insert(step.table, step.columns) + step.conflict)
        whole = len(step.rows) // ROWS_A_STATEMENT * ROWS_A_STATEMENT
        if whole:
            several = sqlite_sql(insert(step.table, step.columns, ROWS_A_STATEMENT) + step.conflict)
            starts = range(0, whole, ROWS_A_STATEMENT)
            chunks = (list(chain.from_iterable(step.rows[start : start + ROWS_A_STATEMENT])) for start in starts)
            self._writer.executemany(several, chunks)
        self._writer.executemany(single, step.rows[whole:])

    async def compute(self, work: Callable[[], T]) -> T:
        self._check_open()
        return await asyncio.get_running_loop().run_in_executor(self._reading, work)

    async def aclose(self) -> None:
        """Wait for what runs, then close the file."""
        self._closed = True
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._writing.shutdown()
        self._reading.shutdown()
        while not self._readers.empty():
            self._readers.get().close()
        self._writer.close()


def _arguments(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Lists travel as JSON, which `json_each` unfolds."""
    return tuple(orjson.dumps(arg).decode() if isinstance(arg, list) else arg for arg in args)


@contextmanager
def _unavailable(path: Path) -> Generator[None]:
    """Raises: StoreUnavailable when the file cannot be opened, is locked for too long, is full or is no database."""
    try:
        yield
    except (sqlite3.OperationalError, sqlite3.DatabaseError) as error:
        if (
            isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError)
            or error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_ERROR
        ):
            raise  # a mistake of ours, not a file that does not answer
        raise StoreUnavailable(f"the candle store at {path.name} does not answer: {error}") from error
