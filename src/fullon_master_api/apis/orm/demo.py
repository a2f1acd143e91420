"""The demo's data: an admin, a trader with bots and a paper account, and a little history."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final

from fullon_master_api.apis.orm.orders import OrderChange
from fullon_master_api.apis.orm.store import Orm
from fullon_master_api.apis.orm.vault import Secrets
from fullon_master_api.model import Bot, Exchange, ExchangeAccount, Record, StrategyTemplate, Symbol, User

TRADER_MAIL: Final = "trader@fullon"
EXCHANGE: Final = "kraken"

_PERSON: Final = {"name": "robert", "lastname": "plant", "phone": "666666666", "id_num": "3242"}
SYMBOLS: Final[Sequence[dict[str, Any]]] = (
    {"symbol": "BTC/USD", "decimals": 1, "quantity_decimals": 8, "ex_base": "XBT"},
    {"symbol": "ETH/USD", "decimals": 2, "quantity_decimals": 8},
    {"symbol": "SOL/USD", "decimals": 2, "quantity_decimals": 8},
    {"symbol": "BTC/USDT", "decimals": 1, "quantity_decimals": 8, "ex_base": "XBT"},
)
"""Digits behind the point as Kraken's AssetPairs gives them (`pair_decimals`, `lot_decimals`)."""

_RISK: Final = {"take_profit": Decimal(2), "stop_loss": Decimal(1), "pre_load_bars": 200}
_TEMPLATES: Final = (
    {"name": "rsi_hayden_long", "class_name": "RsiHaydenLong", "feeds": 2, **_RISK},
    {"name": "rsi_hayden_short", "class_name": "RsiHaydenShort", "feeds": 2, **_RISK},
    {"name": "llm_trader", "class_name": "LlmTrader", "feeds": 4, **_RISK},
)
_PARAMS: Final = {"rsi_period": "14", "overbought_level": "70", "oversold_level": "30"}
_LONG: Final = {"leverage": 2, "size_pct": 20, "size_currency": "USD", "take_profit": 3, "trailing_stop": 3}
_BOTS: Final = (
    ("HAYDEN RSI LONG BTC/USD", "rsi_hayden_long", "BTC/USD", _LONG),
    ("HAYDEN RSI SHORT ETH/USD", "rsi_hayden_short", "ETH/USD", {"take_profit": 2, "trailing_stop": 1}),
    ("HTEST LLM trader", "llm_trader", "SOL/USD", {"take_profit": 2}),
)
_FEEDS: Final = (("Ticks", 1), ("Minutes", 60), ("Minutes", 240), ("Days", 1))
_HISTORY: Final = (
    # symbol, side, volume, price, hours ago
    ("BTC/USD", "buy", "0.10", "43000.0", 72),
    ("BTC/USD", "sell", "0.04", "43550.5", 60),
    ("ETH/USD", "sell", "1.5", "2310.25", 48),
    ("BTC/USD", "sell", "0.06", "42890.0", 36),
    ("ETH/USD", "buy", "1.5", "2268.75", 24),
    ("SOL/USD", "buy", "20", "98.40", 12),
)
_FEE: Final = Decimal("0.0026")


class Demo(Record, frozen=True, kw_only=True):
    """What the demo's server prints and its services use."""

    admin: User
    trader: User
    exchange: Exchange
    admin_account: ExchangeAccount
    trader_account: ExchangeAccount
    symbols: list[Symbol]


async def install_demo(
    orm: Orm,
    *,
    password_hash: str,
    admin_mail: str = "admin@fullon",
    trader_mail: str = TRADER_MAIL,
    trader_secrets: Secrets | None = None,
    symbols: Sequence[dict[str, Any]] = SYMBOLS,
) -> Demo:
    """Put in what is not there yet: a second run changes nothing. `password_hash` is of the demo's one password.

    `trader_secrets` are the trader's key at the paper exchange; keeping them needs a CREDENTIALS_KEY.
    """
    admin = await _user(orm, admin_mail, password_hash, role="ADMIN", **_PERSON)
    trader = await _user(orm, trader_mail, password_hash, name="jimmy", lastname="page", phone="666666667", id_num="3243")
    exchange = (await orm.exchanges.by_names([EXCHANGE]))[0] or await orm.exchanges.install(None, EXCHANGE)
    listed = [await _symbol(orm, exchange, values) for values in symbols]
    templates = {template.name: template for template in [await _template(orm, values) for values in _TEMPLATES]}
    admin_account = await _account(orm, admin, exchange, "kraken1", None)
    trader_account = await _account(orm, trader, exchange, "paper", trader_secrets)
    for owner, account in ((admin, admin_account), (trader, trader_account)):
        if not (await orm.bots.of_users([owner.uid], None, first=1))[0].rows:
            bots = [await _bot(orm, owner, account, listed, templates, *bot) for bot in _BOTS]
            if owner is trader:
                await _history(orm, account, bots)
    return Demo(
        admin=admin,
        trader=trader,
        exchange=exchange,
        admin_account=admin_account,
        trader_account=trader_account,
        symbols=listed,
    )


async def _user(orm: Orm, mail: str, password_hash: str, **values: Any) -> User:
    known = (await orm.users.by_mails([mail], None))[0]
    return known or await orm.users.add(None, {"mail": mail} | values, password_hash=password_hash)


async def _symbol(orm: Orm, exchange: Exchange, values: dict[str, Any]) -> Symbol:
    known = (await orm.symbols.by_names([(exchange.name, values["symbol"])]))[0]
    return known or await orm.symbols.add(None, values | {"cat_ex_id": exchange.cat_ex_id, "updateframe": "1h", "backtest": 1})


async def _template(orm: Orm, values: dict[str, Any]) -> StrategyTemplate:
    known = (await orm.templates.by_names([values["name"]]))[0]
    return known or await orm.templates.install(None, values, params=_PARAMS if "rsi" in values["name"] else {})


async def _account(orm: Orm, owner: User, exchange: Exchange, name: str, secrets: Secrets | None) -> ExchangeAccount:
    known = next((account for account in (await orm.accounts.of_users([owner.uid], None))[0] if account.name == name), None)
    values = {"uid": owner.uid, "cat_ex_id": exchange.cat_ex_id, "name": name}
    return known or await orm.accounts.add(None, values, secrets=secrets)


async def _bot(
    orm: Orm,
    owner: User,
    account: ExchangeAccount,
    symbols: Sequence[Symbol],
    templates: dict[str, StrategyTemplate],
    name: str,
    template: str,
    symbol: str,
    values: dict[str, Any],
) -> Bot:
    """A dry-run bot with one strategy and its feeds."""
    bot = await orm.bots.add(None, {"uid": owner.uid, "name": name})
    await orm.bots.set_accounts(bot.bot_id, None, [account.ex_id])
    chosen = templates[template]
    given = {"bot_id": bot.bot_id, "cat_str_id": chosen.cat_str_id} | values
    strategy = await orm.strategies.add(None, given, params=_PARAMS if "rsi" in template else {})
    symbol_id = next(known.symbol_id for known in symbols if known.symbol == symbol)
    for number, (period, compression) in enumerate(_FEEDS[: chosen.feeds], start=1):
        feed = {"str_id": strategy.str_id, "symbol_id": symbol_id, "period": period, "compression": compression}
        await orm.feeds.add(None, feed | {"order": number, "ex_id": account.ex_id})
    return bot


async def _history(orm: Orm, account: ExchangeAccount, bots: Sequence[Bot]) -> None:
    """Filled dry-run orders with their fills, a line of log each, and one order that was canceled."""
    now = datetime.now(UTC).replace(microsecond=0)
    by_symbol = {symbol: bot for bot, (_, _, symbol, _) in zip(bots, _BOTS, strict=True)}
    for symbol, side, volume, price, hours in _HISTORY:
        bot, at = by_symbol[symbol], now - timedelta(hours=hours)
        given = {"bot_id": bot.bot_id, "symbol": symbol, "side": side, "volume": Decimal(volume)}
        asked = given | {"order_type": "market", "tick": Decimal(price), "final_volume": Decimal(volume), "status": "filled"}
        order = await orm.orders.place(None, asked | {"reason": "demo"}, send=False)
        await orm.orders.change(order.order_id, OrderChange(average_price=Decimal(price)))
        fee = (Decimal(volume) * Decimal(price) * _FEE).quantize(Decimal("0.00001"), ROUND_HALF_EVEN)
        fill = given | {"price": Decimal(price), "fee": fee, "order_id": order.order_id, "reason": "demo", "created_at": at}
        await orm.dry_trades.save(fill)
        held = Decimal(volume) if side == "buy" else -Decimal(volume)
        line = {"feed_num": 1, "ex_id": account.ex_id, "symbol": symbol, "position": held, "created_at": at}
        await orm.logs.save(bot.bot_id, None, [line | {"message": f"{side} {volume} {symbol} at {price}"}])
    limit = {"bot_id": bots[0].bot_id, "symbol": "BTC/USD", "side": "buy", "order_type": "limit", "volume": Decimal("0.05")}
    await orm.orders.place(None, limit | {"price": Decimal("40000.0"), "status": "canceled", "reason": "demo"}, send=False)
