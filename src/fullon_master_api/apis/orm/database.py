"""The SQL database: its engines, its transactions and the translation of its errors."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Final

import msgspec
from sqlalchemy import URL, Connection, event, func, insert, literal, make_url, select
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from fullon_master_api.apis.orm.failures import raise_told, translated
from fullon_master_api.apis.orm.lanes import USED_AT, Lane, Lanes
from fullon_master_api.apis.orm.reading import Reader, Statements
from fullon_master_api.apis.orm.tables import utc_now
from fullon_master_api.apis.orm.tables_services import audit, events, leases
from fullon_master_api.errors import Forbidden, GatewayError, StaleEpoch
from fullon_master_api.logs import get_logger
from fullon_master_api.model import Fence, Principal
from fullon_master_api.tracing import begin_note, end_note, span

log = get_logger(__name__)

Hint = Callable[[str, int], Awaitable[None]]
"""Told (topic, newest sequence) after a commit. Losing a call costs latency, never data."""

HINT_S: Final = 0.5
BUSY_TIMEOUT_MS: Final = 5_000
IDLE_IN_TRANSACTION_MS: Final = 5_000
UNASKED_S: Final = 5.0
"""A connection that was used within this time is taken without asking the server whether it is there."""
IDLE_SINCE: Final = "fullon.idle_since"


class Write:
    """One open transaction, with the events and audit rows that are committed together with its changes."""

    def __init__(self, connection: AsyncConnection, dialect: str) -> None:
        self.connection = connection
        self.dialect = dialect
        self._events: list[dict[str, Any]] = []
        self.sequences: dict[str, int] = {}

    def emit(self, topic: str, kind: str, record: object) -> None:
        """Append an event to the outbox when the transaction ends."""
        self._events.append({"topic": topic, "kind": kind, "payload": msgspec.json.encode(record), "created_at": utc_now()})

    async def audit(self, principal: Principal | None, action: str, subject: str, **detail: object) -> None:
        """Keep who did what to what; a principal of None is the platform itself."""
        who = {"uid": principal.uid, "mail": principal.mail} if principal else {"uid": None, "mail": None}
        await self.connection.execute(insert(audit).values(**who, action=action, subject=subject, detail=detail))

    async def audit_admin(self, principal: Principal | None, action: str, subject: str, **detail: object) -> None:
        """Keep what an admin did that any user may do with what is theirs."""
        if principal is not None and principal.is_admin:
            await self.audit(principal, action, subject, **detail)

    async def lock(self, name: str) -> None:
        """Wait until no other transaction holds this name; SQLite has a single writer, so there it is held already."""
        if self.dialect == "postgresql":
            await self.connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))

    async def check_fence(self, fence: Fence | None) -> None:
        """Refuse to go on when the lease has moved on, and keep it from moving until the commit.

        Raises: StaleEpoch.
        """
        if fence is None:
            return
        held = select(leases.c.epoch).where(leases.c.name == fence.service).with_for_update(read=True)
        epoch = await self.connection.scalar(held)
        if epoch != fence.epoch:
            raise StaleEpoch(f"epoch of {fence.service!r} is {epoch or 0}, the write carried {fence.epoch}")

    async def flush_events(self) -> None:
        """Insert what was emitted.

        Readers ask for "rows after the last I saw", so within a topic the order of numbers must be the order of commits: the
        lock of the topic is held from the number's making to the commit. Sorted, so that two writers never wait in a ring.
        """
        if not self._events:
            return
        pending = sorted(self._events, key=lambda row: row["topic"])
        for topic in dict.fromkeys(row["topic"] for row in pending):
            await self.lock(f"topic {topic}")
        statement = insert(events).returning(events.c.sequence, events.c.topic, sort_by_parameter_order=True)
        for sequence, topic in await self.connection.execute(statement, pending):
            self.sequences[topic] = sequence
        self._events.clear()


class Reading:
    """`async with` over the connection of one reader; written out, for a generator costs a third of a short statement."""

    __slots__ = ("_lane", "_lanes", "_span", "_statements")
    _lane: Lane

    def __init__(self, lanes: Lanes, statements: Statements) -> None:
        self._lanes = lanes
        self._statements = statements
        self._span = span("orm read")

    async def __aenter__(self) -> Reader:
        self._span.__enter__()
        try:
            lane = self._lane = await self._lanes.take()
        except BaseException as error:
            self._span.__exit__(type(error), error, error.__traceback__)
            raise_told(error)
            raise
        return Reader(lane.driver, self._statements)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None or isinstance(error, Exception):  # What a statement is refused for leaves its connection whole.
                await self._lanes.leave(self._lane)
            else:  # A cancellation leaves it in the middle of an answer.
                await self._lanes.drop(self._lane, error)
        except BaseException as fault:
            self._span.__exit__(type(fault), fault, fault.__traceback__)
            raise_told(fault)
            raise
        self._span.__exit__(kind, error, traceback)
        if error is not None:
            raise_told(error)


class Database:
    """Engines of one SQL store: many readers, and on SQLite a single writer that the others wait for in turn."""

    def __init__(self, reader: AsyncEngine, writer: AsyncEngine, hint: Hint | None, *, connections_max: int) -> None:
        self._reader = reader
        self._writer = writer
        self._hint = hint
        self._lanes = Lanes(reader, connections_max)
        self._statements = Statements(reader.dialect)
        self.dialect = writer.dialect.name
        note_writes(writer)

    @property
    def engines(self) -> Sequence[AsyncEngine]:
        """The engines whose statements are this store's: one on PostgreSQL, two on SQLite."""
        return [self._writer] if self.dialect == "postgresql" else [self._reader, self._writer]

    def read(self) -> Reading:
        """A connection for statements that change nothing, each seeing what is committed when it starts."""
        return Reading(self._lanes, self._statements)

    @asynccontextmanager
    async def write(self, *, fence: Fence | None = None) -> AsyncGenerator[Write, None]:
        """A transaction: all of it is committed with its events, or nothing is.

        Raises: StaleEpoch when `fence` is not the lease's epoch any more.
        """
        with translated(), span("orm write"):
            await self._lanes.make_room()
            async with self._writer.begin() as connection:
                write = Write(connection, self.dialect)
                await write.check_fence(fence)
                yield write
                await write.flush_events()
        await self._tell(write.sequences)

    async def _tell(self, sequences: dict[str, int]) -> None:
        if self._hint is None:
            return
        for topic, sequence in sequences.items():
            try:
                async with asyncio.timeout(HINT_S):
                    await self._hint(topic, sequence)
            except (GatewayError, TimeoutError) as error:  # The change is committed; readers find it when they next look.
                log.warning("orm.hint_lost", topic=topic, sequence=sequence, error=str(error))

    async def ping(self) -> None:
        """Raises: StoreUnavailable when the store does not answer."""
        async with self.read() as connection:
            await connection.scalar(select(literal(1)))

    async def aclose(self) -> None:
        await self._lanes.aclose()
        for engine in self.engines:
            await engine.dispose()


def open_database(
    url: str,
    *,
    hint: Hint | None = None,
    pool_size: int = 20,
    max_overflow: int = 10,
    pool_timeout_s: float = 10.0,
    pool_recycle_s: int = 1800,
    pre_ping: bool = True,
) -> Database:
    """Engines for a URL. Nothing is connected yet; the pool opens connections as they are needed."""
    where = make_url(url)
    if where.get_backend_name() == "sqlite":
        return _open_sqlite(where, hint=hint, readers=min(pool_size, 8), timeout_s=pool_timeout_s)
    writer = create_async_engine(
        where,
        hide_parameters=True,  # an error's text reaches the log, what was written does not
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_timeout=pool_timeout_s,
        pool_recycle=pool_recycle_s,
        connect_args={
            "timeout": pool_timeout_s,
            "server_settings": {
                "timezone": "UTC",
                "jit": "off",
                # A process that was paused inside a transaction must not hold its locks against the new owner of a service.
                "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_MS),
            },
        },
    )
    if pre_ping:
        check_before_use(writer)
    return Database(writer, writer, hint, connections_max=pool_size + max_overflow)


def note_writes(engine: AsyncEngine) -> None:
    """Tell the statements of transactions to whoever notes them, as a `Reader` tells its own."""

    def began(_connection: Any, _cursor: Any, sql: str, _values: Any, context: Any, _many: bool) -> None:
        context.note = begin_note(sql)

    def ended(_connection: Any, cursor: Any, _sql: str, _values: Any, context: Any, _many: bool) -> None:
        if context.note is not None:
            end_note(context.note, max(0, cursor.rowcount))

    event.listen(engine.sync_engine, "before_cursor_execute", began)
    event.listen(engine.sync_engine, "after_cursor_execute", ended)


def check_before_use(engine: AsyncEngine) -> None:
    """Replace a connection that is gone before it is used.

    SQLAlchemy's own check asks the server each time, in a transaction: three answers to wait for before each statement. The
    driver sees at once when the server closes a connection, so only one that was idle for long is asked whether it still is.
    """

    def checkin(_connection: Any, entry: ConnectionPoolEntry) -> None:
        entry.info[IDLE_SINCE] = entry.info.pop(USED_AT, None) or monotonic()

    def checkout(connection: Any, entry: ConnectionPoolEntry, _proxy: Any) -> None:
        since = entry.info.get(IDLE_SINCE)
        if connection is None or since is None:
            return
        if connection.driver_connection.is_closed():
            raise InvalidatePoolError
        if monotonic() - since > UNASKED_S:
            try:
                connection.ping()
            except Exception as error:  # Whatever it is, this connection does not answer.
                raise InvalidatePoolError from error

    event.listen(engine.sync_engine, "checkin", checkin)
    event.listen(engine.sync_engine, "checkout", checkout)


def _open_sqlite(where: URL, *, hint: Hint | None, readers: int, timeout_s: float) -> Database:
    if where.database in (None, "", ":memory:"):
        raise ValueError("the SQLite store must be a file: every connection would see another store in memory")
    assert where.database is not None
    Path(where.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    shared: dict[str, Any] = {"hide_parameters": True, "max_overflow": 0, "pool_timeout": timeout_s}
    reader = create_async_engine(where, pool_size=readers, pool_reset_on_return=None, **shared)
    writer = create_async_engine(where, pool_size=1, **shared)
    for engine in (reader, writer):
        event.listen(engine.sync_engine, "connect", prepare_sqlite)
    event.listen(writer.sync_engine, "begin", begin_immediate)
    event.listen(writer.sync_engine, "invalidate", roll_back_first)
    return Database(reader, writer, hint, connections_max=readers)


def prepare_sqlite(connection: Any, _entry: ConnectionPoolEntry) -> None:
    """Settings of a new SQLite connection; its driver must not begin transactions by itself."""
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_TIMEOUT_MS}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def roll_back_first(connection: Any, _entry: ConnectionPoolEntry, _error: BaseException | None) -> None:
    """End the transaction of a connection whose user was canceled, before it is closed.

    SQLite keeps a closed connection, with its write lock, until the last cursor on it is gone; and the cursor lives in the
    traceback of the cancelation, so every other writer would wait until that is collected.
    """
    with suppress(sqlite3.Error, asyncio.CancelledError):
        connection.rollback()


def begin_immediate(connection: Connection) -> None:
    """Take the write lock at once: a transaction that reads first and then writes could not be repeated when it is busy."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


# ---- rights ------------------------------------------------------------------------------------------------------------


def may_write(principal: Principal | None) -> None:
    """Raises: Forbidden when the credential may only read."""
    if principal is not None and not principal.may_write:
        raise Forbidden("this credential may only read")


def must_be_admin(principal: Principal | None) -> None:
    """Raises: Forbidden when a person who is not an admin asks."""
    may_write(principal)
    if principal is not None and not principal.is_admin:
        raise Forbidden("Admin access required")


def sees_all(principal: Principal | None) -> bool:
    """The platform itself and the admins see everybody's; anybody else only what is theirs."""
    return principal is None or principal.is_admin


def chunks(keys: Sequence[Any], size: int = 10_000) -> Generator[Sequence[Any], None, None]:
    """Parts of a list that fit into the parameters of one statement."""
    for start in range(0, len(keys), size):
        yield keys[start : start + size]


def grouped(pairs: Sequence[tuple[Any, Any]], keys: Sequence[Any]) -> list[list[Any]]:
    """Values of (key, value) pairs, aligned with `keys`."""
    found: dict[Any, list[Any]] = defaultdict(list)
    for key, value in pairs:
        found[key].append(value)
    return [found[key] for key in keys]
