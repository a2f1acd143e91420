"""The candle store in PostgreSQL: a pool of asyncpg, lists as arrays, bulk by COPY."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

import asyncpg

from fullon_master_api.apis.ohlcv.frames import DAY_NS, EPOCH, NS
from fullon_master_api.apis.ohlcv.schema import GET_VERSION, POSTGRES_STEPS, SET_VERSION, VERSION
from fullon_master_api.apis.ohlcv.statements import insert, postgres_sql
from fullon_master_api.apis.ohlcv.steps import DropPartitions, InsertMany, KeepPartitions, Rows, Run, Step, Transaction
from fullon_master_api.errors import StoreUnavailable
from fullon_master_api.tracing import note_statement

T = TypeVar("T")
MIGRATION_LOCK: Final = 7_031_001  # an advisory lock: one process changes tables, others wait
PARTITION_LOCK: Final = 7_031_002
PARTITIONS: Final = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'market_trades'::regclass"
COPY_ROWS_MIN: Final = 500  # from here on a COPY into a staging table is faster than a statement a row


class PlainConnection(asyncpg.Connection):  # type: ignore[misc]
    """A connection whose sessions leave nothing behind, so that giving it back costs no statement that cleans up."""

    def get_reset_query(self) -> str:
        return ""


class PostgresDriver:
    """One database. `open_postgres` makes it; a read is one statement, so it sees one snapshot."""

    def __init__(self, pool: Any, *, timeout_s: float) -> None:
        self._pool = pool
        self._timeout_s = timeout_s

    async def migrate(self, *, write: bool) -> None:
        """Bring the tables to this program's version, or (without `write`) refuse any other."""
        async with self._connection() as connection, connection.transaction():
            if write:
                await connection.execute("SELECT pg_advisory_xact_lock($1)", MIGRATION_LOCK)
                await connection.execute("CREATE TABLE IF NOT EXISTS market_schema (version INTEGER NOT NULL)")
                await connection.execute("INSERT INTO market_schema SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM market_schema)")
            elif await connection.fetchval("SELECT to_regclass('market_schema')") is None:
                raise StoreUnavailable("the candle store has no tables: run `fullon migrate`")
            version = await connection.fetchval(GET_VERSION)
            if version > VERSION or (version < VERSION and not write):
                raise StoreUnavailable(f"the candle store's schema is {version}, this program's is {VERSION}")
            for statement in (statement for step in POSTGRES_STEPS[version:] for statement in step):
                await connection.execute(statement)
            if version < VERSION:
                await connection.execute(SET_VERSION, VERSION)

    async def read(self, sql: str, *args: Any) -> Rows:
        """Rows of the driver, which are read as tuples are."""
        text = postgres_sql(sql)
        with note_statement(text) as note:
            async with self._connection() as connection:
                rows: Rows = await connection.fetch(text, *_arguments(args))
            if note is not None:
                note.rows = len(rows)
        return rows

    async def write(self, begin: Callable[[], Transaction[T]]) -> T:
        async with self._connection() as connection, connection.transaction():
            return await self._drive(connection, begin())

    async def _drive(self, connection: Any, transaction: Transaction[T]) -> T:
        rows: Rows | None = None
        while True:
            try:
                step = next(transaction) if rows is None else transaction.send(rows)
            except StopIteration as stop:
                result: T = stop.value
                return result
            rows = await self._run(connection, step)

    async def _run(self, connection: Any, step: Step) -> Rows:
        match step:
            case Run(sql, args):
                return [tuple(row) for row in await connection.fetch(postgres_sql(sql), *_arguments(args))]
            case InsertMany(table, columns, rows, conflict):
                if len(rows) < COPY_ROWS_MIN:
                    await connection.executemany(insert(table, columns) + conflict, rows)
                else:
                    await self._copy(connection, step)
            case KeepPartitions(days):
                await self._keep_partitions(connection, days)
            case DropPartitions(before_ns):
                await self._drop_partitions(connection, before_ns)
        return []

    async def _copy(self, connection: Any, step: InsertMany) -> None:
        staging = f"staging_{step.table}"
        names = ", ".join(step.columns)
        await connection.execute(f"CREATE TEMP TABLE IF NOT EXISTS {staging} (LIKE {step.table}) ON COMMIT DELETE ROWS")
        await connection.copy_records_to_table(staging, columns=step.columns, records=step.rows)
        await connection.execute(
            f"INSERT INTO {step.table} ({names}) SELECT {names} FROM {staging} WHERE true {step.conflict}"  # noqa: S608
        )
        await connection.execute(f"TRUNCATE {staging}")

    async def _keep_partitions(self, connection: Any, days: frozenset[int]) -> None:
        for name, start_ns, end_ns in months(days):
            if await connection.fetchval("SELECT to_regclass($1)", name) is None:
                await connection.execute("SELECT pg_advisory_xact_lock($1)", PARTITION_LOCK)
                await connection.execute(
                    f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF market_trades FOR VALUES FROM ({start_ns}) TO ({end_ns})"
                )

    async def _drop_partitions(self, connection: Any, before_ns: int) -> None:
        """Drop empty months only: a late import may have put rows back."""
        names = [row[0] for row in await connection.fetch(PARTITIONS)]
        month = datetime.fromtimestamp(before_ns // NS, UTC).strftime("market_trades_%Y_%m")
        await connection.execute("SELECT pg_advisory_xact_lock($1)", PARTITION_LOCK)
        for name in (name for name in names if name < month):
            if not await connection.fetchval(f"SELECT EXISTS (SELECT 1 FROM {name})"):  # noqa: S608
                await connection.execute(f"DROP TABLE {name}")

    async def compute(self, work: Callable[[], T]) -> T:
        return await asyncio.to_thread(work)

    async def aclose(self) -> None:
        await self._pool.close()

    @asynccontextmanager
    async def _connection(self) -> AsyncGenerator[Any, None]:
        """Raises: StoreUnavailable when no connection comes within the limit, or the one we had breaks."""
        try:
            async with self._pool.acquire(timeout=self._timeout_s) as connection:
                yield connection
        except _AWAY as error:
            raise StoreUnavailable(f"the candle store does not answer: {type(error).__name__}") from error


_AWAY: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.InsufficientResourcesError,
)


async def open_postgres(url: str, *, pool_size: int, timeout_s: float, migrate: bool) -> PostgresDriver:
    """Raises: StoreUnavailable."""
    dsn = re.sub(r"^postgres(?:ql)?(\+\w+)?://", "postgresql://", url)
    settings = {"jit": "off", "application_name": "fullon-ohlcv"}  # compiling costs more than these short statements
    try:
        pool = await asyncpg.create_pool(
            dsn,
            min_size=1,
            max_size=pool_size,
            timeout=timeout_s,
            command_timeout=timeout_s,
            server_settings=settings,
            connection_class=PlainConnection,
        )
    except (*_AWAY, asyncpg.PostgresError) as error:
        raise StoreUnavailable(f"the candle store does not answer: {type(error).__name__}") from error
    driver = PostgresDriver(pool, timeout_s=timeout_s)
    try:
        await driver.migrate(write=migrate)
    except BaseException:  # A cancellation too must not leave connections behind; it goes on up.
        await pool.close()
        raise
    return driver


def months(days: Iterable[int]) -> list[tuple[str, int, int]]:
    """Partition name, start and end of the UTC months in which these days lie, days counted from 1970."""
    firsts = {(EPOCH + timedelta(days=day)).replace(day=1) for day in days}
    found: list[tuple[str, int, int]] = []
    for first in sorted(firsts):
        following = (first + timedelta(days=32)).replace(day=1)
        found.append((f"market_trades_{first:%Y_%m}", (first - EPOCH).days * DAY_NS, (following - EPOCH).days * DAY_NS))
    return found


def _arguments(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Pairs of names travel as one text with a unit separator between them, which no name may hold."""
    return tuple(
        ["\x1f".join(item) if isinstance(item, tuple) else item for item in arg] if isinstance(arg, list) else arg for arg in args
    )
