"""What the live hub counted, and the same for Prometheus."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from fullon_master_api.transport.groups import Member
    from fullon_master_api.transport.hub import Hub

LAG_BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


@dataclass(slots=True)
class Lag:
    """Seconds from a message's arrival to the moment its last reader was served, counted in buckets."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(LAG_BOUNDS_S) + 1))
    total_s: float = 0.0

    def observe(self, lag_s: float) -> None:
        self.counts[bisect_left(LAG_BOUNDS_S, lag_s)] += 1
        self.total_s += lag_s

    def buckets(self) -> Iterator[tuple[str, float]]:
        """Upper bounds with the number of observations up to each."""
        below = 0
        for bound, count in zip((*map(str, LAG_BOUNDS_S), "+Inf"), self.counts, strict=True):
            below += count
            yield bound, below


@dataclass(slots=True)
class Figures:
    """Counts since the hub opened; the first three are what it holds now."""

    sockets: int = 0
    streams: int = 0
    groups: int = 0
    sockets_accepted: int = 0
    sockets_refused: int = 0
    streams_opened: int = 0
    executions: int = 0
    delivered: int = 0
    conflated: int = 0
    slow_consumers: int = 0
    resumed: int = 0
    flushes: int = 0
    closes: Counter[int] = field(default_factory=Counter)
    lag: Lag = field(default_factory=Lag)

    def depths(self, members: Sequence[Member]) -> dict[str, int]:
        """What waits now for readers that are behind, in events and in bytes of those that can be sent as they are."""
        waiting = [len(member.pending) for member in members if member.pending is not None]
        return {
            "sockets": self.sockets,
            "streams": self.streams,
            "groups": self.groups,
            "readers": len(members),
            "readers_behind": len(waiting),
            "events_waiting": sum(waiting),
            "events_waiting_max": max(waiting, default=0),
            "bytes_waiting": sum(member.bytes_pending for member in members),
        }


GAUGES: Final = {
    "sockets": "Sockets that are open.",
    "streams": "Subscriptions over HTTP that are open.",
    "groups": "Groups of equal subscriptions, each executed once per event.",
}
COUNTERS: Final = {
    "sockets_accepted": "Sockets that were let in.",
    "sockets_refused": "Sockets that were turned away.",
    "streams_opened": "Subscriptions that were opened.",
    "executions": "Executions of live events.",
    "delivered": "Events handed to a reader.",
    "conflated": "Events overtaken by a newer one of their key before they were sent.",
    "slow_consumers": "Streams ended because their reader fell behind.",
    "resumed": "Streams that went on after a cursor.",
    "flushes": "Writes to detached sockets.",
}


class HubCollector(Collector):
    """The hub's figures as Prometheus reads them; nothing is computed until it asks."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def collect(self) -> Iterable[Metric]:
        figures = self._hub.figures
        for name, told in GAUGES.items():
            yield GaugeMetricFamily(f"fullon_live_{name}", told, value=getattr(figures, name))
        for name, told in COUNTERS.items():
            yield CounterMetricFamily(f"fullon_live_{name}", told, value=getattr(figures, name))
        members, lagging = self._hub.count_members()
        yield GaugeMetricFamily("fullon_live_members", "Readers in all groups.", value=members)
        yield GaugeMetricFamily("fullon_live_lagging", "Readers that do not keep up now.", value=lagging)
        closes = CounterMetricFamily("fullon_live_closes", "Sockets that the server closed, by code.", labels=["code"])
        for code, count in sorted(figures.closes.items()):
            closes.add_metric([str(code)], count)
        yield closes
        lag = HistogramMetricFamily("fullon_live_lag_seconds", "From an event's arrival to its last reader.")
        lag.add_metric([], buckets=list(figures.lag.buckets()), sum_value=figures.lag.total_s)
        yield lag
