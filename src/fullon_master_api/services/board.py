"""What one run of a service says of itself: whether it is ready, and how each of its feeds does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fullon_master_api.model import FeedHealth, ServiceState

ERROR_LENGTH_MAX = 300


@dataclass(slots=True)
class FeedGauge:
    """Counters of one feed, `exchange:symbol:kind`; times in UTC nanoseconds."""

    name: str
    board: FeedBoard
    messages: int = 0
    last_message_ns: int | None = None
    lag_ms: float | None = None
    reconnects: int = 0
    gaps: int = 0
    refused: int = 0
    error: str | None = None

    def received(self, now_ns: int, event_ns: int | None = None) -> None:
        """One message arrived at `now_ns`; `event_ns` is the exchange's own time of it, where it has one."""
        self.messages += 1
        self.last_message_ns = now_ns
        if event_ns is not None:
            self.lag_ms = max(0.0, (now_ns - event_ns) / 1e6)

    def works(self) -> None:
        """It is well, or well again."""
        if self.error is not None:
            self.error = None
            self.board.changed()

    def failed(self, reason: str) -> None:
        was, self.error = self.error, reason[:ERROR_LENGTH_MAX]
        if was is None:
            self.board.changed()

    def health(self) -> FeedHealth:
        return FeedHealth(
            feed=self.name,
            messages=self.messages,
            last_message_ns=self.last_message_ns,
            lag_ms=self.lag_ms,
            reconnects=self.reconnects,
            gaps=self.gaps,
            refused=self.refused,
            error=self.error,
        )


class FeedBoard:
    """The feeds of one run of a service; `on_change` is called when the state that follows from them may be another."""

    def __init__(self, on_change: Callable[[], None] = lambda: None) -> None:
        self._feeds: dict[str, FeedGauge] = {}
        self._ready = False
        self.changed = on_change

    def feed(self, name: str) -> FeedGauge:
        """The gauge of this feed, made on first use; its counters outlive a reconnect."""
        gauge = self._feeds.get(name)
        if gauge is None:
            gauge = self._feeds[name] = FeedGauge(name, self)
        return gauge

    def drop(self, name: str) -> None:
        """Forget a feed that is not wanted any more."""
        if self._feeds.pop(name, None) is not None:
            self.changed()

    def ready(self) -> None:
        """The service has begun its work."""
        if not self._ready:
            self._ready = True
            self.changed()

    def state(self) -> ServiceState:
        """STARTING until it is ready, then RUNNING, or DEGRADED while a feed has an error."""
        if not self._ready:
            return ServiceState.STARTING
        broken = any(gauge.error is not None for gauge in self._feeds.values())
        return ServiceState.DEGRADED if broken else ServiceState.RUNNING

    def health(self) -> list[FeedHealth]:
        return [self._feeds[name].health() for name in sorted(self._feeds)]
