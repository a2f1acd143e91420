"""Balances and positions as the exchange said them last, by exchange account."""

from __future__ import annotations

from collections.abc import Sequence
from time import time_ns

from fullon_master_api.apis.cache.shelf import Shelf
from fullon_master_api.bus import balances_topic, positions_topic
from fullon_master_api.model import Balance, Balances, Fence, Position, Positions

GROUP = "all"


class Accounts:
    """Each write replaces all balances, or all positions, of one account; an older one than what is kept is ignored."""

    def __init__(self, balances: Shelf[Balances], positions: Shelf[Positions]) -> None:
        self._balances, self._positions = balances, positions

    async def set_balances(
        self, ex_id: int, balances: Sequence[Balance], *, updated_ns: int | None = None, fence: Fence | None = None
    ) -> bool:
        """Keep all balances of an account; False if they were no news. Raises: StaleEpoch, CacheUnavailable"""
        at_ns = time_ns() if updated_ns is None else updated_ns
        record = Balances(ex_id=ex_id, balances=list(balances), updated_ns=at_ns)
        key = (GROUP, str(ex_id))
        return await self._balances.put(key, record, version=at_ns, topic=balances_topic(ex_id), fence=fence) is not None

    async def set_positions(
        self, ex_id: int, positions: Sequence[Position], *, updated_ns: int | None = None, fence: Fence | None = None
    ) -> bool:
        """Keep all open positions of an account; an empty list says that none is open. Raises: StaleEpoch, CacheUnavailable"""
        at_ns = time_ns() if updated_ns is None else updated_ns
        record = Positions(ex_id=ex_id, positions=list(positions), updated_ns=at_ns)
        key = (GROUP, str(ex_id))
        return await self._positions.put(key, record, version=at_ns, topic=positions_topic(ex_id), fence=fence) is not None

    async def get_balances(self, ex_ids: Sequence[int]) -> list[list[Balance]]:
        """Balances of each account, in the order asked; empty where none was ever reported. Raises: CacheUnavailable"""
        return [[] if record is None else record.balances for record in await self.get_balance_reports(ex_ids)]

    async def get_positions(self, ex_ids: Sequence[int]) -> list[list[Position]]:
        """Open positions of each account, in the order asked. Raises: CacheUnavailable"""
        return [[] if record is None else record.positions for record in await self.get_position_reports(ex_ids)]

    async def get_balance_reports(self, ex_ids: Sequence[int]) -> list[Balances | None]:
        """The last report on each account; None where there is none, or a cache that restarted has forgotten it."""
        return await self._balances.get_many([(GROUP, str(ex_id)) for ex_id in ex_ids])

    async def get_position_reports(self, ex_ids: Sequence[int]) -> list[Positions | None]:
        """The last report on each account: one with no position says that none is open, None says that nobody knows."""
        return await self._positions.get_many([(GROUP, str(ex_id)) for ex_id in ex_ids])

    async def all_balances(self) -> list[Balances]:
        """The last report on every account. Raises: CacheUnavailable"""
        return (await self._balances.get_groups([GROUP]))[0]

    async def all_positions(self) -> list[Positions]:
        """The last report on every account. Raises: CacheUnavailable"""
        return (await self._positions.get_groups([GROUP]))[0]

    async def delete(self, ex_id: int) -> None:
        """Forget an account, as when its owner removes it."""
        await self._forget([ex_id])

    async def delete_all(self) -> int:
        """Forget every account; of how many something was known."""
        known = {report.ex_id for report in await self.all_balances()} | {report.ex_id for report in await self.all_positions()}
        await self._forget(sorted(known))
        return len(known)

    async def _forget(self, ex_ids: Sequence[int]) -> None:
        keys = [(GROUP, str(ex_id)) for ex_id in ex_ids]
        await self._balances.delete(keys)
        await self._positions.delete(keys)
