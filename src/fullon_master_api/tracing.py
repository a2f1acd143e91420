"""Spans of our work, through the OpenTelemetry API alone; who records them is set from outside, and nobody is by default."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final

from opentelemetry import trace
from opentelemetry.trace import ProxyTracerProvider, Status, StatusCode, Tracer, TracerProvider

NAME: Final = "fullon_master_api"
NOTHING: Final = nullcontext[None]()


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
