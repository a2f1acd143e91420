"""The demo's data."""

from __future__ import annotations

from decimal import Decimal

from fullon_master_api.apis.orm import Orm, Secrets
from fullon_master_api.apis.orm.demo import install_demo
from fullon_master_api.model import OrderStatus, Role
from tests.apis.orm.conftest import principal_of


async def test_the_demo_is_installed_once_however_often_it_is_asked_for(orm: Orm) -> None:
    demo = await install_demo(orm, password_hash="x", trader_secrets=Secrets("key", "secret"))
    assert (demo.admin.uid, demo.admin.role, demo.trader.role) == (1, Role.ADMIN, Role.USER)
    assert await install_demo(orm, password_hash="y", trader_secrets=Secrets("key", "secret")) == demo
    assert await orm.accounts.credentials(demo.trader_account.ex_id) == Secrets("key", "secret")
    trader = principal_of(demo.trader)
    (bots,) = await orm.bots.of_users([demo.trader.uid], trader)
    assert [bot.name for bot in bots.rows] == ["HAYDEN RSI LONG BTC/USD", "HAYDEN RSI SHORT ETH/USD", "HTEST LLM trader"]
    assert len((await orm.bots.page(principal_of(demo.admin))).rows) == 6
    bot_ids = [bot.bot_id for bot in bots.rows]
    strategies = await orm.strategies.of_bots(bot_ids, trader)
    feeds = await orm.feeds.of_strategies([strategy.str_id for (strategy,) in strategies], trader)
    assert [len(few) for few in feeds] == [2, 2, 4]
    orders = await orm.orders.of_bots(bot_ids, trader)
    assert [len(page.rows) for page in orders] == [4, 2, 1]
    assert {order.status for page in orders for order in page.rows} == {OrderStatus.FILLED, OrderStatus.CANCELED}
    assert {order.average_price for order in orders[2].rows} == {Decimal("98.40")}
    trades = await orm.dry_trades.of_bots(bot_ids, trader)
    profits = [[trade.roi for trade in page.rows if trade.closingtrade] for page in trades]
    assert profits == [[Decimal("-19.99884"), Decimal("13.01875")], [Decimal("44.3919")], []]
    assert (await orm.commands.of_orders([order.order_id for page in orders for order in page.rows])) == [[]] * 7
