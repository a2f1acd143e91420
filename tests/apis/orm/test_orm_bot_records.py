"""What hangs on a bot, its feeds, logs and simulations: kept for its owner, refused by name, hidden from others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fullon_master_api.apis.orm import Orm
from fullon_master_api.apis.orm.bot_logs import BotLogFilter
from fullon_master_api.apis.orm.bots import BotFilter
from fullon_master_api.apis.orm.conditions import DEPTH_MAX, TERMS_MAX, VALUES_MAX, AllOf, AnyOf, Compare, Condition, Not
from fullon_master_api.apis.orm.simulations import BYTES_MAX
from fullon_master_api.errors import BadUserInput, Forbidden, NotFound
from fullon_master_api.model import Principal, Scope, Strategy
from tests.apis.orm.conftest import World


def reader(world: World) -> Principal:
    """Ana with a credential that may only read."""
    return Principal(uid=world.ana.uid, mail=world.ana.mail, role=world.ana.role, scopes=frozenset({Scope.READ}))


def line_of(world: World, **more: Any) -> dict[str, Any]:
    """A line of the log of Ana's bot."""
    plain = {"feed_num": 1, "ex_id": world.ana_account.ex_id, "symbol": "BTC/USD", "position": 0, "message": "bought"}
    return plain | more


async def strategy_of(orm: Orm, world: World) -> Strategy:
    template = await orm.templates.install(None, {"name": "trend"})
    return await orm.strategies.add(world.ana, {"bot_id": world.ana_bot.bot_id, "cat_str_id": template.cat_str_id})


# ---- simulations -------------------------------------------------------------------------------------------------------


async def test_a_simulation_replaces_the_one_of_its_name_and_is_its_owners(orm: Orm, world: World) -> None:
    bot_id = world.ana_bot.bot_id
    first = await orm.simulations.save(bot_id, world.ana, "spring", {"profit": "1.5"})
    other = await orm.simulations.save(bot_id, world.ana, "summer", {})
    again = await orm.simulations.save(bot_id, world.ana, "spring", {"profit": "2"})

    assert (again.num, again.json) == (first.num, {"profit": "2"})
    assert await orm.simulations.get_many([first.num, 999, other.num], world.ana) == [again, None, other]
    assert await orm.simulations.get_many([first.num], world.ben) == [None]
    (mine,), (theirs,) = [await orm.simulations.of_bots([bot_id], who) for who in (world.ana, world.ben)]
    assert (mine.rows, theirs.rows) == ([other, again], [])


async def test_a_simulation_that_cannot_be_kept_is_refused_and_leaves_the_old_one(orm: Orm, world: World) -> None:
    bot_id = world.ana_bot.bot_id
    kept = await orm.simulations.save(bot_id, world.ana, "spring", {"profit": "1.5"})

    with pytest.raises(BadUserInput, match="json was longer") as refused:
        await orm.simulations.save(bot_id, world.ana, "spring", {"trades": "x" * BYTES_MAX})
    assert refused.value.path == ("json",)
    with pytest.raises(NotFound):
        await orm.simulations.save(bot_id, world.ben, "spring", {})
    with pytest.raises(Forbidden):
        await orm.simulations.save(bot_id, reader(world), "spring", {})
    assert await orm.simulations.get_many([kept.num], world.ana) == [kept]


async def test_a_simulation_is_removed_by_its_owner_alone(orm: Orm, world: World) -> None:
    kept = await orm.simulations.save(world.ana_bot.bot_id, world.ana, "spring", {})

    with pytest.raises(NotFound):
        await orm.simulations.remove(kept.num, world.ben)
    assert await orm.simulations.remove(kept.num, world.ana) == kept
    assert await orm.simulations.get_many([kept.num], world.ana) == [None]


# ---- feeds -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"compression": 0}, "compression"),
        ({"period": "  "}, "period"),
        ({"symbol_id": 999}, "symbol_id"),
        ({"ex_id": 999}, "ex_id"),
    ],
)
async def test_a_feed_that_cannot_be_read_is_refused_by_its_field(
    orm: Orm, world: World, wrong: dict[str, object], field: str
) -> None:
    strategy = await strategy_of(orm, world)
    good = {"str_id": strategy.str_id, "symbol_id": world.btc.symbol_id, "period": "Minutes"}

    with pytest.raises(BadUserInput) as refused:
        await orm.feeds.add(world.ana, good | wrong)
    assert refused.value.path == (field,)
    assert await orm.feeds.of_bots([world.ana_bot.bot_id], world.ana) == [[]]


async def test_a_feed_reads_no_account_of_another_user(orm: Orm, world: World) -> None:
    strategy = await strategy_of(orm, world)
    feed = await orm.feeds.add(world.ana, {"str_id": strategy.str_id, "symbol_id": world.btc.symbol_id, "period": "Ticks"})

    with pytest.raises(BadUserInput, match="of the bot's owner"):
        await orm.feeds.modify(feed.feed_id, world.ana, {"ex_id": world.ben_account.ex_id})
    changed = await orm.feeds.modify(feed.feed_id, world.ana, {"ex_id": world.ana_account.ex_id, "compression": 5})
    assert (changed.ex_id, changed.compression) == (world.ana_account.ex_id, 5)
    assert await orm.feeds.get_many([feed.feed_id], world.ben) == [None]
    for refused in (orm.feeds.modify(feed.feed_id, world.ben, {}), orm.feeds.remove(feed.feed_id, world.ben)):
        with pytest.raises(NotFound):
            await refused
    assert await orm.feeds.get_many([feed.feed_id], world.ana) == [changed]


# ---- logs --------------------------------------------------------------------------------------------------------------


async def test_lines_of_a_log_are_kept_together_or_not_at_all(orm: Orm, world: World) -> None:
    bot_id, good = world.ana_bot.bot_id, line_of(world)

    with pytest.raises(BadUserInput, match="must be one of") as refused:
        await orm.logs.save(bot_id, world.ana, [good, good | {"level": "LOUD"}])
    assert refused.value.path == (1, "level")
    with pytest.raises(BadUserInput, match="of the bot's owner"):
        await orm.logs.save(bot_id, world.ana, [good, good | {"ex_id": world.ben_account.ex_id}])
    assert (await orm.logs.of_bots([bot_id], world.ana))[0].rows == []
    assert await orm.logs.save(bot_id, world.ana, []) == 0
    assert await orm.logs.save(bot_id, world.ana, [good, good | {"level": "ERROR"}]) == 2


async def test_lines_are_found_by_level_and_time(orm: Orm, world: World) -> None:
    bot_id, noon = world.ana_bot.bot_id, datetime(2026, 1, 2, 12, tzinfo=UTC)
    lines = [
        line_of(world, level=level, created_at=noon + timedelta(hours=hours))
        for hours, level in enumerate(("INFO", "ERROR", "INFO"))
    ]
    await orm.logs.save(bot_id, world.ana, lines)

    async def found(**filters: Any) -> list[str]:
        (page,) = await orm.logs.of_bots([bot_id], world.ana, filters=BotLogFilter(**filters))
        return [line.level for line in page.rows]

    assert await found(level="ERROR") == ["ERROR"]
    assert await found(created_from=noon + timedelta(hours=1)) == ["INFO", "ERROR"]
    assert await found(created_to=noon + timedelta(hours=1)) == ["INFO"]


# ---- filters -----------------------------------------------------------------------------------------------------------


def nested(depth: int) -> Condition:
    condition: Condition = Compare(field="name", operator="eq", value="x")
    for _ in range(depth):
        condition = Not(term=condition)
    return condition


@pytest.mark.parametrize(
    "condition",
    [
        nested(DEPTH_MAX + 1),
        Compare(field="name", operator="in", value=["x"] * (VALUES_MAX + 1)),
        AllOf(terms=[nested(0)] * (TERMS_MAX + 1)),
        AnyOf(terms=[AllOf(terms=[nested(0)] * (TERMS_MAX + 1))]),
    ],
    ids=["deep", "values", "terms", "terms within"],
)
async def test_a_filter_beyond_its_bounds_is_refused_with_the_bound(orm: Orm, world: World, condition: Condition) -> None:
    with pytest.raises(BadUserInput, match=r"deeper than \d+|must be at most \d+"):
        await orm.bots.page(world.ana, matching=condition)


async def test_filters_at_their_bounds_are_answered_and_no_term_is_no_row_or_all(orm: Orm, world: World) -> None:
    async def names(condition: Condition) -> list[str]:
        return [bot.name for bot in (await orm.bots.page(world.ana, matching=condition, filters=BotFilter(dry_run=False))).rows]

    assert await names(nested(DEPTH_MAX)) == ["Ana's bot"]
    assert await names(Compare(field="name", operator="in", value=["Ana's bot"] * VALUES_MAX)) == ["Ana's bot"]
    assert await names(AllOf(terms=[])) == ["Ana's bot"]
    assert await names(AnyOf(terms=[])) == []
