"""Bots, their logs and simulations; strategies and feeds."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from fullon_master_api.apis.orm.columns import Id, Money, UtcTime

revision = "0002"
down_revision = "0001"


def _create_cat_strategies() -> None:
    op.create_table(
        "cat_strategies",
        sa.Column("cat_str_id", Id, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(length=50), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("class_name", sa.String(length=80), nullable=True),
        sa.Column("take_profit", Money(), nullable=True),
        sa.Column("stop_loss", Money(), nullable=True),
        sa.Column("trailing_stop", Money(), nullable=True),
        sa.Column("timeout", Money(), nullable=True),
        sa.Column("pre_load_bars", sa.SmallInteger(), nullable=False),
        sa.Column("feeds", sa.SmallInteger(), nullable=False),
        sa.Column("pairs", sa.Boolean(), nullable=False),
        sa.CheckConstraint("CAST(feeds AS NUMERIC) >= 0", name=op.f("ck_cat_strategies_feeds_not_negative")),
        sa.CheckConstraint("CAST(pre_load_bars AS NUMERIC) >= 0", name=op.f("ck_cat_strategies_pre_load_bars_not_negative")),
        sa.PrimaryKeyConstraint("cat_str_id", name=op.f("pk_cat_strategies")),
        sa.UniqueConstraint("name", name=op.f("uq_cat_strategies_name")),
        sqlite_autoincrement=True,
    )


def _create_bots() -> None:
    op.create_table(
        "bots",
        sa.Column("bot_id", Id, autoincrement=True, nullable=False),
        sa.Column("uid", Id, nullable=False),
        sa.Column("name", sa.String(length=50), nullable=False),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("test", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.ForeignKeyConstraint(["uid"], ["users.uid"], name=op.f("fk_bots_uid"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("bot_id", name=op.f("pk_bots")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_bots_uid"), "bots", ["uid"], unique=False)


def _create_cat_strategies_params() -> None:
    op.create_table(
        "cat_strategies_params",
        sa.Column("cat_str_id", Id, nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["cat_str_id"], ["cat_strategies.cat_str_id"], name=op.f("fk_cat_strategies_params_cat_str_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("cat_str_id", "name", name=op.f("pk_cat_strategies_params")),
    )


def _create_bot_exchanges() -> None:
    op.create_table(
        "bot_exchanges",
        sa.Column("bot_id", Id, nullable=False),
        sa.Column("ex_id", Id, nullable=False),
        sa.ForeignKeyConstraint(["bot_id"], ["bots.bot_id"], name=op.f("fk_bot_exchanges_bot_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["ex_id"], ["exchanges.ex_id"], name=op.f("fk_bot_exchanges_ex_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("bot_id", "ex_id", name=op.f("pk_bot_exchanges")),
    )
    op.create_index(op.f("ix_bot_exchanges_ex_id"), "bot_exchanges", ["ex_id"], unique=False)


def _create_bot_log() -> None:
    op.create_table(
        "bot_log",
        sa.Column("bot_log_id", Id, autoincrement=True, nullable=False),
        sa.Column("bot_id", Id, nullable=False),
        sa.Column("feed_num", sa.SmallInteger(), nullable=False),
        sa.Column("ex_id", Id, nullable=False),
        sa.Column("symbol", sa.String(length=40), nullable=False),
        sa.Column("position", Money(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("level", sa.String(length=10), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.ForeignKeyConstraint(["bot_id"], ["bots.bot_id"], name=op.f("fk_bot_log_bot_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["ex_id"], ["exchanges.ex_id"], name=op.f("fk_bot_log_ex_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("bot_log_id", name=op.f("pk_bot_log")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_bot_log_bot_id_bot_log_id"), "bot_log", ["bot_id", "bot_log_id"], unique=False)
    op.create_index(op.f("ix_bot_log_ex_id"), "bot_log", ["ex_id"], unique=False)


def _create_simulations() -> None:
    op.create_table(
        "simulations",
        sa.Column("num", Id, autoincrement=True, nullable=False),
        sa.Column("bot_id", Id, nullable=False),
        sa.Column("name", sa.String(length=35), nullable=False),
        sa.Column("json", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["bot_id"], ["bots.bot_id"], name=op.f("fk_simulations_bot_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("num", name=op.f("pk_simulations")),
        sa.UniqueConstraint("bot_id", "name", name=op.f("uq_simulations_bot_id_name")),
        sqlite_autoincrement=True,
    )


def _create_strategies() -> None:
    op.create_table(
        "strategies",
        sa.Column("str_id", Id, autoincrement=True, nullable=False),
        sa.Column("bot_id", Id, nullable=False),
        sa.Column("cat_str_id", Id, nullable=False),
        sa.Column("name", sa.String(length=80), nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("take_profit", Money(), nullable=True),
        sa.Column("stop_loss", Money(), nullable=True),
        sa.Column("trailing_stop", Money(), nullable=True),
        sa.Column("timeout", Money(), nullable=True),
        sa.Column("leverage", Money(), nullable=False),
        sa.Column("size_pct", Money(), nullable=True),
        sa.Column("size", Money(), nullable=True),
        sa.Column("size_currency", sa.String(length=20), nullable=True),
        sa.Column("pre_load_bars", sa.SmallInteger(), nullable=True),
        sa.Column("feeds", sa.SmallInteger(), nullable=False),
        sa.Column("pairs", sa.Boolean(), nullable=False),
        sa.CheckConstraint("CAST(leverage AS NUMERIC) > 0", name=op.f("ck_strategies_leverage_positive")),
        sa.ForeignKeyConstraint(["bot_id"], ["bots.bot_id"], name=op.f("fk_strategies_bot_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["cat_str_id"], ["cat_strategies.cat_str_id"], name=op.f("fk_strategies_cat_str_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("str_id", name=op.f("pk_strategies")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_strategies_bot_id_str_id"), "strategies", ["bot_id", "str_id"], unique=False)
    op.create_index(op.f("ix_strategies_cat_str_id"), "strategies", ["cat_str_id"], unique=False)


def _create_feeds() -> None:
    op.create_table(
        "feeds",
        sa.Column("feed_id", Id, autoincrement=True, nullable=False),
        sa.Column("str_id", Id, nullable=False),
        sa.Column("symbol_id", Id, nullable=False),
        sa.Column("period", sa.String(length=10), nullable=False),
        sa.Column("compression", sa.SmallInteger(), nullable=False),
        sa.Column("order", sa.SmallInteger(), nullable=False),
        sa.Column("ex_id", Id, nullable=True),
        sa.Column("cat_ex_id", Id, nullable=True),
        sa.CheckConstraint("CAST(compression AS NUMERIC) > 0", name=op.f("ck_feeds_compression_positive")),
        sa.ForeignKeyConstraint(["cat_ex_id"], ["cat_exchanges.cat_ex_id"], name=op.f("fk_feeds_cat_ex_id"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["ex_id"], ["exchanges.ex_id"], name=op.f("fk_feeds_ex_id"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["str_id"], ["strategies.str_id"], name=op.f("fk_feeds_str_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["symbol_id"], ["symbols.symbol_id"], name=op.f("fk_feeds_symbol_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("feed_id", name=op.f("pk_feeds")),
        sa.UniqueConstraint("str_id", "order", name=op.f("uq_feeds_str_id_order")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_feeds_cat_ex_id"), "feeds", ["cat_ex_id"], unique=False)
    op.create_index(op.f("ix_feeds_ex_id"), "feeds", ["ex_id"], unique=False)
    op.create_index(op.f("ix_feeds_symbol_id"), "feeds", ["symbol_id"], unique=False)


def _create_strategies_params() -> None:
    op.create_table(
        "strategies_params",
        sa.Column("str_id", Id, nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["str_id"], ["strategies.str_id"], name=op.f("fk_strategies_params_str_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("str_id", "name", name=op.f("pk_strategies_params")),
    )


def upgrade() -> None:
    _create_cat_strategies()
    _create_bots()
    _create_cat_strategies_params()
    _create_bot_exchanges()
    _create_bot_log()
    _create_simulations()
    _create_strategies()
    _create_feeds()
    _create_strategies_params()


def downgrade() -> None:
    for table in (
        "strategies_params",
        "feeds",
        "strategies",
        "simulations",
        "bot_log",
        "bot_exchanges",
        "cat_strategies_params",
        "bots",
        "cat_strategies",
    ):
        op.drop_table(table)
