"""The tables of users, exchanges, accounts, symbols, bots and strategies."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from fullon_master_api.apis.orm.columns import EnumText, Id, JsonText, Money, Scopes, UtcTime, not_negative, one_of, positive
from fullon_master_api.model import Role

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def utc_now() -> datetime:
    return datetime.now(UTC)


def key(name: str) -> Column[int]:
    """A number given by the store. `sqlite_autoincrement` of its table keeps it from being given twice."""
    return Column(name, Id, primary_key=True, autoincrement=True)


def to(target: str, name: str, *, on_delete: str, nullable: bool = False, **options: Any) -> Column[int]:
    """A foreign key."""
    return Column(name, Id, ForeignKey(target, ondelete=on_delete), nullable=nullable, **options)


def created() -> Column[datetime]:
    return Column("created_at", UtcTime, nullable=False, default=utc_now)


def flag(name: str, default: bool) -> Column[bool]:
    return Column(name, Boolean, nullable=False, default=default)


def _text(name: str, length: int) -> Column[str]:
    return Column(name, String(length), nullable=False, default="")


# ---- who asks ----------------------------------------------------------------------------------------------------------

users: Final = Table(
    "users",
    metadata,
    key("uid"),
    Column("mail", String(80), nullable=False, unique=True),
    Column("password_hash", String(200), nullable=False),
    Column("token_version", Integer, nullable=False, default=0),
    _text("f2a", 64),
    Column("totp_step", Integer, nullable=False, default=0),
    Column("role", EnumText(Role, 10), nullable=False, default=Role.USER),
    _text("name", 50),
    _text("lastname", 50),
    _text("phone", 20),
    _text("id_num", 15),
    Column("note", Text),
    to("users.uid", "manager", on_delete="RESTRICT", nullable=True, index=True),
    Column("external_id", String(80), unique=True),
    flag("active", True),
    created(),
    one_of("role", Role),
    sqlite_autoincrement=True,
)

refresh_tokens: Final = Table(
    "refresh_tokens",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("family", String(64), nullable=False, index=True),
    to("users.uid", "uid", on_delete="CASCADE", index=True),
    created(),
    Column("expires_at", UtcTime, nullable=False, index=True),
    Column("used_at", UtcTime),
    Column("revoked_at", UtcTime),
)

api_keys: Final = Table(
    "api_keys",
    metadata,
    key("api_key_id"),
    to("users.uid", "uid", on_delete="CASCADE", index=True),
    Column("key_hash", String(64), nullable=False, unique=True),
    Column("prefix", String(24), nullable=False),
    Column("name", String(80), nullable=False),
    Column("description", Text),
    Column("scopes", Scopes(80), nullable=False),
    flag("is_active", True),
    created(),
    Column("expires_at", UtcTime),
    Column("last_used_at", UtcTime),
    sqlite_autoincrement=True,
)

# ---- markets -----------------------------------------------------------------------------------------------------------

cat_exchanges: Final = Table(
    "cat_exchanges",
    metadata,
    key("cat_ex_id"),
    Column("name", String(30), nullable=False, unique=True),
    Column("ohlcv_view", Text, nullable=False, default=""),
    sqlite_autoincrement=True,
)

cat_exchanges_params: Final = Table(
    "cat_exchanges_params",
    metadata,
    to("cat_exchanges.cat_ex_id", "cat_ex_id", on_delete="CASCADE", primary_key=True),
    Column("name", String(20), primary_key=True),
    Column("value", String(200), nullable=False),
)

symbols: Final = Table(
    "symbols",
    metadata,
    key("symbol_id"),
    Column("symbol", String(40), nullable=False, index=True),
    to("cat_exchanges.cat_ex_id", "cat_ex_id", on_delete="RESTRICT"),
    Column("updateframe", String(3), nullable=False, default="1h"),
    Column("backtest", SmallInteger, nullable=False, default=30),
    Column("decimals", SmallInteger, nullable=False, default=8),
    Column("quantity_decimals", SmallInteger, nullable=False, default=8),
    Column("base", String(20), nullable=False),
    Column("quote", String(20), nullable=False),
    Column("ex_base", String(20)),
    flag("futures", False),
    flag("only_ticker", False),
    flag("active", True),
    not_negative("backtest"),
    not_negative("decimals"),
    not_negative("quantity_decimals"),
    UniqueConstraint("cat_ex_id", "symbol"),
    sqlite_autoincrement=True,
)

# ---- accounts ----------------------------------------------------------------------------------------------------------

exchanges: Final = Table(
    "exchanges",
    metadata,
    key("ex_id"),
    to("users.uid", "uid", on_delete="CASCADE"),
    to("cat_exchanges.cat_ex_id", "cat_ex_id", on_delete="RESTRICT", index=True),
    Column("name", String(50), nullable=False),
    flag("test", False),
    flag("active", True),
    created(),
    UniqueConstraint("uid", "cat_ex_id", "name"),
    sqlite_autoincrement=True,
)

exchange_credentials: Final = Table(
    "exchange_credentials",
    metadata,
    to("exchanges.ex_id", "ex_id", on_delete="CASCADE", primary_key=True),
    Column("key_id", String(16), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("updated_at", UtcTime, nullable=False, default=utc_now),
)

exchange_history: Final = Table(
    "exchange_history",
    metadata,
    key("history_id"),
    to("exchanges.ex_id", "ex_id", on_delete="CASCADE", index=True),
    to("users.uid", "uid", on_delete="CASCADE", index=True),
    Column("currency", String(20), nullable=False),
    Column("balance", Money, nullable=False),
    Column("comment", Text),
    created(),
    sqlite_autoincrement=True,
)

# ---- bots --------------------------------------------------------------------------------------------------------------

bots: Final = Table(
    "bots",
    metadata,
    key("bot_id"),
    to("users.uid", "uid", on_delete="CASCADE", index=True),
    Column("name", String(50), nullable=False, default=""),
    flag("dry_run", True),
    flag("active", True),
    flag("test", False),
    created(),
    sqlite_autoincrement=True,
)

bot_exchanges: Final = Table(
    "bot_exchanges",
    metadata,
    to("bots.bot_id", "bot_id", on_delete="CASCADE", primary_key=True),
    to("exchanges.ex_id", "ex_id", on_delete="CASCADE", primary_key=True, index=True),
)

bot_log: Final = Table(
    "bot_log",
    metadata,
    key("bot_log_id"),
    to("bots.bot_id", "bot_id", on_delete="CASCADE"),
    Column("feed_num", SmallInteger, nullable=False),
    to("exchanges.ex_id", "ex_id", on_delete="CASCADE", index=True),
    Column("symbol", String(40), nullable=False),
    Column("position", Money, nullable=False),
    Column("message", Text, nullable=False),
    Column("level", String(10), nullable=False, default="INFO"),
    created(),
    Index(None, "bot_id", "bot_log_id"),
    sqlite_autoincrement=True,
)

simulations: Final = Table(
    "simulations",
    metadata,
    key("num"),
    to("bots.bot_id", "bot_id", on_delete="CASCADE"),
    Column("name", String(35), nullable=False),
    Column("json", JsonText(dict[str, Any]), nullable=False),
    UniqueConstraint("bot_id", "name"),
    sqlite_autoincrement=True,
)

cat_strategies: Final = Table(
    "cat_strategies",
    metadata,
    key("cat_str_id"),
    Column("name", String(50), nullable=False, unique=True),
    Column("description", Text),
    Column("class_name", String(80)),
    Column("take_profit", Money),
    Column("stop_loss", Money),
    Column("trailing_stop", Money),
    Column("timeout", Money),
    Column("pre_load_bars", SmallInteger, nullable=False, default=200),
    Column("feeds", SmallInteger, nullable=False, default=2),
    flag("pairs", False),
    not_negative("pre_load_bars"),
    not_negative("feeds"),
    sqlite_autoincrement=True,
)

cat_strategies_params: Final = Table(
    "cat_strategies_params",
    metadata,
    to("cat_strategies.cat_str_id", "cat_str_id", on_delete="CASCADE", primary_key=True),
    Column("name", String(80), primary_key=True),
    Column("value", Text, nullable=False),
)

strategies: Final = Table(
    "strategies",
    metadata,
    key("str_id"),
    to("bots.bot_id", "bot_id", on_delete="CASCADE"),
    to("cat_strategies.cat_str_id", "cat_str_id", on_delete="CASCADE", index=True),
    Column("name", String(80)),
    flag("active", True),
    Column("take_profit", Money),
    Column("stop_loss", Money),
    Column("trailing_stop", Money),
    Column("timeout", Money),
    Column("leverage", Money, nullable=False, default=Decimal(1)),
    Column("size_pct", Money),
    Column("size", Money),
    Column("size_currency", String(20)),
    Column("pre_load_bars", SmallInteger),
    Column("feeds", SmallInteger, nullable=False, default=2),
    flag("pairs", False),
    positive("leverage"),
    Index(None, "bot_id", "str_id"),
    sqlite_autoincrement=True,
)

strategies_params: Final = Table(
    "strategies_params",
    metadata,
    to("strategies.str_id", "str_id", on_delete="CASCADE", primary_key=True),
    Column("name", String(80), primary_key=True),
    Column("value", Text, nullable=False),
)

feeds: Final = Table(
    "feeds",
    metadata,
    key("feed_id"),
    to("strategies.str_id", "str_id", on_delete="CASCADE"),
    to("symbols.symbol_id", "symbol_id", on_delete="CASCADE", index=True),
    Column("period", String(10), nullable=False),
    Column("compression", SmallInteger, nullable=False, default=1),
    Column("order", SmallInteger, nullable=False),
    to("exchanges.ex_id", "ex_id", on_delete="SET NULL", nullable=True, index=True),
    to("cat_exchanges.cat_ex_id", "cat_ex_id", on_delete="SET NULL", nullable=True, index=True),
    positive("compression"),
    UniqueConstraint("str_id", "order"),
    sqlite_autoincrement=True,
)
