"""How the paper exchange misbehaves on request; every fault can be taken back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random


@dataclass(slots=True, eq=False)
class Faults:
    """Switches that a test or a user sets and clears while the exchange runs. Shares are between 0 and 1.

    `maintenance`: REST answers `EService:Unavailable`, sockets say so and take no subscription and no order.
    `refuse`: new sockets are closed at once. `stalled`: data stops while heartbeats go on. `silent`: nothing leaves at
    all, not even a pong. `rest_delay_s`: every REST answer waits. `lose`, `duplicate`, `reorder`, `cut`: that share of the
    data messages is never sent, sent twice, sent after the next one, or sent as its first half.
    """

    refuse: bool = False
    stalled: bool = False
    silent: bool = False
    rest_delay_s: float = 0.0
    lose: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    cut: float = 0.0
    seed: int = 1
    drop: Callable[[], int] = field(default=lambda: 0, repr=False)
    announce: Callable[[bool], None] = field(default=lambda _: None, repr=False)
    _maintenance: bool = False
    _random: Random = field(default_factory=lambda: Random(1), repr=False)  # noqa: S311 - repeatable, not a secret

    @property
    def maintenance(self) -> bool:
        return self._maintenance

    @maintenance.setter
    def maintenance(self, wanted: bool) -> None:
        changed, self._maintenance = wanted != self._maintenance, wanted
        if changed:
            self.announce(wanted)

    def drop_sockets(self) -> int:
        """Cut every open socket without a goodbye; answers how many there were."""
        return self.drop()

    def clear(self) -> None:
        """Behave again."""
        self.refuse = self.stalled = self.silent = False
        self.rest_delay_s = self.lose = self.duplicate = self.reorder = self.cut = 0.0
        self.maintenance = False

    def shape(self, text: str, held: list[str]) -> list[str]:
        """What leaves instead of this data message; `held` keeps a socket's message that waits for the next one."""
        if self.stalled or self.silent or self._happens(self.lose):
            return []
        if self._happens(self.cut):
            text = text[: len(text) // 2]
        texts = [text, text] if self._happens(self.duplicate) else [text]
        if held:
            texts += held
            held.clear()
        elif self._happens(self.reorder):
            held.extend(texts)
            return []
        return texts

    def _happens(self, share: float) -> bool:
        return share > 0 and self._random.random() < share
