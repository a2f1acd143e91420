"""Keyset pages: complete, stable, and closed to cursors of elsewhere."""

from __future__ import annotations

import base64

import pytest

from fullon_master_api.apis.orm import Orm
from fullon_master_api.apis.orm.bots import BotFilter
from fullon_master_api.errors import BadCursor, BadUserInput
from tests.apis.orm.conftest import World


async def every_name(orm: Orm, world: World, order: str, first: int) -> list[str]:
    names: list[str] = []
    after: str | None = None
    while True:
        page = await orm.bots.page(world.ana, order=order, first=first, after=after)
        names += [bot.name for bot in page.rows]
        if not page.has_next:
            return names
        after = page.cursors[-1]


@pytest.mark.parametrize("order", ["bot_id", "-bot_id", "name", "-name", "created_at", "-created_at"])
async def test_pages_of_any_length_hold_every_row_once_in_order(orm: Orm, world: World, order: str) -> None:
    for name in ("b", "a", "c", "a", "b", "a"):
        await orm.bots.add(world.ana, {"name": name})
    whole = await every_name(orm, world, order, 500)
    assert len(whole) == 7
    for first in (1, 2, 3):
        assert await every_name(orm, world, order, first) == whole


async def test_a_row_that_comes_between_two_pages_moves_nothing(orm: Orm, world: World) -> None:
    for name in ("b", "d"):
        await orm.bots.add(world.ana, {"name": name})
    first = await orm.bots.page(world.ana, order="name", first=2, filters=BotFilter(dry_run=True))
    assert [bot.name for bot in first.rows] == ["b", "d"]
    await orm.bots.add(world.ana, {"name": "a"})
    await orm.bots.add(world.ana, {"name": "e"})
    second = await orm.bots.page(world.ana, order="name", first=2, after=first.cursors[-1], filters=BotFilter(dry_run=True))
    assert [bot.name for bot in second.rows] == ["e"]


async def test_a_cursor_that_is_not_of_this_list_is_refused(orm: Orm, world: World) -> None:
    await orm.bots.add(world.ana, {"name": "a"})
    cursor = (await orm.bots.page(world.ana, first=1)).cursors[0]
    await orm.users.page(world.admin)
    made_up = [
        "",
        "garbage",
        "é",
        base64.urlsafe_b64encode(b'[1,"bots","bot_id",{},1]').decode(),
        base64.urlsafe_b64encode(b'[1,"bots","bot_id","1",1]').decode(),
        base64.urlsafe_b64encode(b'[2,"bots","bot_id",1,1]').decode(),
        base64.urlsafe_b64encode(b'[1,"bots","bot_id",99999999999999999999,1]').decode(),
        base64.urlsafe_b64encode(b'[1,"bots","bot_id",1,99999999999999999999]').decode(),
    ]
    for wrong in made_up:
        with pytest.raises(BadCursor):
            await orm.bots.page(world.ana, after=wrong)
    with pytest.raises(BadCursor):
        await orm.bots.page(world.ana, order="name", after=cursor)
    with pytest.raises(BadCursor):
        await orm.users.page(world.admin, after=cursor)


async def test_bounds_and_orders_are_checked(orm: Orm, world: World) -> None:
    for first in (0, -1, 501, 10**9):
        with pytest.raises(BadUserInput):
            await orm.bots.page(world.ana, first=first)
    with pytest.raises(BadUserInput):
        await orm.bots.page(world.ana, order="password_hash")


async def test_ids_that_no_row_can_have_answer_none(orm: Orm, world: World) -> None:
    ids = [-1, 0, 2**63 - 1, 2**63, 10**30, world.ana_bot.bot_id, world.ana_bot.bot_id]
    assert await orm.bots.get_many(ids, world.ana) == [None] * 5 + [world.ana_bot] * 2
