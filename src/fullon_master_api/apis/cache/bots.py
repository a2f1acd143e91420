"""What bots say of themselves, with the symbols they hold for themselves."""

from __future__ import annotations

from collections.abc import Sequence
from time import time_ns
from typing import Any, Final

from fullon_master_api.apis.cache.shelf import Shelf
from fullon_master_api.bus import bot_topic
from fullon_master_api.model import Block, BotStatus

GROUP: Final = "all"
STATUS_TTL_S: Final = 86_400.0
BLOCK_TTL_S: Final = 60.0


class Bots:
    """Status by bot, blocks by account and symbol. A block has one owner and an end, so neither a thief nor a crash keeps it."""

    def __init__(self, statuses: Shelf[BotStatus], blocks: Shelf[Block], openings: Shelf[Block]) -> None:
        self._statuses, self._blocks, self._openings = statuses, blocks, openings

    async def set_status(self, bot_id: int, feeds: dict[str, dict[str, Any]]) -> BotStatus:
        """Keep what a bot says of its feeds; gone a day after its last word. Raises: CacheUnavailable"""
        status = BotStatus(bot_id=bot_id, feeds=feeds, updated_ns=time_ns())
        key = (GROUP, str(bot_id))
        await self._statuses.put(key, status, version=status.updated_ns, ttl_s=STATUS_TTL_S, topic=bot_topic(bot_id))
        return status

    async def get_many(self, bot_ids: Sequence[int]) -> list[BotStatus | None]:
        """Status of each bot, in the order asked; None where it said nothing for a day. Raises: CacheUnavailable"""
        return await self._statuses.get_many([(GROUP, str(bot_id)) for bot_id in bot_ids])

    async def all(self) -> list[BotStatus]:
        return (await self._statuses.get_groups([GROUP]))[0]

    async def delete(self, bot_id: int) -> bool:
        return await self._statuses.delete([(GROUP, str(bot_id))]) == 1

    async def block(self, ex_id: int, symbol: str, bot_id: int, *, ttl_s: float = BLOCK_TTL_S) -> Block:
        """Hold a symbol for a bot, or renew it, for `ttl_s`. Raises: Conflict while another bot holds it."""
        return await _hold(self._blocks, ex_id, symbol, bot_id, ttl_s)

    async def unblock(self, ex_id: int, symbol: str, bot_id: int) -> bool:
        """Give a symbol up; False if this bot does not hold it."""
        return await self._blocks.release((str(ex_id), symbol), owner=f"bot {bot_id}")

    async def get_blocks(self, keys: Sequence[tuple[int, str]]) -> list[Block | None]:
        """The block of each (ex_id, symbol), in the order asked; None where it is free."""
        return await self._blocks.get_many([(str(ex_id), symbol) for ex_id, symbol in keys])

    async def all_blocks(self, ex_ids: Sequence[int]) -> list[list[Block]]:
        """Every block of each account."""
        return await self._blocks.get_groups([str(ex_id) for ex_id in ex_ids])

    async def mark_opening(self, ex_id: int, symbol: str, bot_id: int, *, ttl_s: float = BLOCK_TTL_S) -> Block:
        """Say that a bot is about to open a position there. Raises: Conflict while another bot does."""
        return await _hold(self._openings, ex_id, symbol, bot_id, ttl_s)

    async def unmark_opening(self, ex_id: int, symbol: str, bot_id: int) -> bool:
        return await self._openings.release((str(ex_id), symbol), owner=f"bot {bot_id}")

    async def get_openings(self, keys: Sequence[tuple[int, str]]) -> list[Block | None]:
        return await self._openings.get_many([(str(ex_id), symbol) for ex_id, symbol in keys])


async def _hold(shelf: Shelf[Block], ex_id: int, symbol: str, bot_id: int, ttl_s: float) -> Block:
    block = Block(ex_id=ex_id, symbol=symbol, bot_id=bot_id, expires_ns=time_ns() + int(ttl_s * 1e9))
    await shelf.hold((str(ex_id), symbol), block, owner=f"bot {bot_id}", ttl_s=ttl_s)
    return block
