"""Spans of our work, through the OpenTelemetry API alone, and the statements that one piece of work sends to stores.

Who records spans is set from outside, and nobody does by default; statements are noted for whoever asks how an answer was made.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import ProxyTracerProvider, Status, StatusCode, Tracer, TracerProvider

NAME: Final = "fullon_master_api"
NOTHING: Final = nullcontext[None]()

T = TypeVar("T")


class _Recorder:
    """Where spans go: one for the process, None where they go nowhere."""

    tracer: Tracer | None = None


def record_with(provider: TracerProvider | None) -> None:
    """Record spans with this provider from now on; with None none are made, which costs nothing."""
    _Recorder.tracer = None if provider is None else provider.get_tracer(NAME)


def record_as_set_up() -> None:
    """Record with the provider that was set up for the process, by `opentelemetry-instrument` or by code, if there is one."""
    provider = trace.get_tracer_provider()
    if not isinstance(provider, ProxyTracerProvider):
        record_with(provider)


def is_recording() -> bool:
    return _Recorder.tracer is not None


def span(name: str, **attributes: str | int | float | bool) -> AbstractContextManager[None]:
    """A span around what is done inside; an exception marks it by its class, never by its text, which could hold a secret."""
    return NOTHING if _Recorder.tracer is None else _recorded(_Recorder.tracer, name, attributes)


def with_spans(owner: T, names: Mapping[str, str]) -> T:
    """The same object; where spans are recorded there is one around each call of these coroutine methods: method to name."""
    if _Recorder.tracer is not None:
        for method, name in names.items():
            setattr(owner, method, _spanned(getattr(owner, method), name))
    return owner


def _spanned(work: Callable[..., Awaitable[Any]], name: str) -> Callable[..., Awaitable[Any]]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        with span(name):
            return await work(*args, **kwargs)

    return call


def trace_here() -> Context | None:
    """The trace that the work of now belongs to, for work that goes on elsewhere; None where nothing is recorded."""
    return None if _Recorder.tracer is None else context.get_current()


def trace_of_caller(headers: Mapping[str, str]) -> Context | None:
    """The trace that the headers of a request name, by W3C `traceparent` or as `OTEL_PROPAGATORS` says.

    None where nothing is recorded, and where instrumentation outside of us has begun a span for this request already.
    """
    if _Recorder.tracer is None or trace.get_current_span().get_span_context().is_valid:
        return None
    from opentelemetry import propagate  # Loads entry points, which would cost every command its time.

    return propagate.extract(headers)


def within(found: Context | None) -> AbstractContextManager[None]:
    """What is done inside belongs to this trace; None changes nothing."""
    return NOTHING if found is None else _attached(found)


@contextmanager
def _attached(found: Context) -> Iterator[None]:
    token = context.attach(found)
    try:
        yield
    finally:
        context.detach(token)


@contextmanager
def _recorded(tracer: Tracer, name: str, attributes: dict[str, str | int | float | bool]) -> Iterator[None]:
    with tracer.start_as_current_span(
        name, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield
        except BaseException as error:
            current.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise


@dataclass(slots=True)
class Note:
    """A statement that was sent to a store: text without values, rows that came back or were changed, when, how long.

    Units:  began_ns in `perf_counter_ns`.
    """

    sql: str
    began_ns: int
    rows: int = 0
    took_ns: int = 0


_NOTES: Final[ContextVar[list[Note] | None]] = ContextVar("notes", default=None)


@contextmanager
def noted_statements() -> Iterator[list[Note]]:
    """The statements that are sent meanwhile by this task and those that it makes."""
    notes: list[Note] = []
    before = _NOTES.set(notes)
    try:
        yield notes
    finally:
        _NOTES.reset(before)


def note_statement(sql: str) -> AbstractContextManager[Note | None]:
    """Around the sending of a statement: a note for whoever wants them, or None and no cost where nobody does."""
    notes = _NOTES.get()
    return NOTHING if notes is None else _noted(notes, sql)


def begin_note(sql: str) -> Note | None:
    """The same where the end is told elsewhere, by `end_note`."""
    notes = _NOTES.get()
    if notes is None:
        return None
    notes.append(Note(sql, time.perf_counter_ns()))
    return notes[-1]


def end_note(note: Note, rows: int) -> None:
    note.took_ns = time.perf_counter_ns() - note.began_ns
    note.rows = rows


@contextmanager
def _noted(notes: list[Note], sql: str) -> Iterator[Note]:
    note = Note(sql, time.perf_counter_ns())
    notes.append(note)
    try:
        yield note
    finally:
        note.took_ns = time.perf_counter_ns() - note.began_ns
