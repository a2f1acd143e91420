"""Orders, fills and dry-run fills."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from fullon_master_api.apis.orm.columns import Id, Money, UtcTime

revision = "0003"
down_revision = "0002"


def _create_orders() -> None:
    op.create_table(
        "orders",
        sa.Column("order_id", Id, autoincrement=True, nullable=False),
        sa.Column("bot_id", Id, nullable=True),
        sa.Column("uid", Id, nullable=False),
        sa.Column("ex_id", Id, nullable=False),
        sa.Column("cat_ex_id", Id, nullable=False),
        sa.Column("exchange", sa.String(length=30), nullable=False),
        sa.Column("symbol", sa.String(length=40), nullable=False),
        sa.Column("order_type", sa.String(15), nullable=False),
        sa.Column("side", sa.String(4), nullable=False),
        sa.Column("volume", Money(), nullable=False),
        sa.Column("final_volume", Money(), nullable=True),
        sa.Column("price", Money(), nullable=True),
        sa.Column("average_price", Money(), nullable=True),
        sa.Column("plimit", Money(), nullable=True),
        sa.Column("tick", Money(), nullable=True),
        sa.Column("futures", sa.Boolean(), nullable=False),
        sa.Column("leverage", Money(), nullable=True),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("status_text", sa.String(length=20), nullable=False),
        sa.Column("command", sa.String(length=64), nullable=True),
        sa.Column("subcommand", sa.String(length=64), nullable=True),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.Column("client_order_id", sa.String(length=64), nullable=True),
        sa.Column("ex_order_id", sa.String(length=64), nullable=True),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("updated_at", UtcTime(), nullable=False),
        sa.CheckConstraint(
            "order_type IN ('market', 'limit', 'stop', 'stop_limit', 'take_profit', 'unknown')",
            name=op.f("ck_orders_order_type_known"),
        ),
        sa.CheckConstraint("side IN ('buy', 'sell')", name=op.f("ck_orders_side_known")),
        sa.CheckConstraint(
            "status IN ('new', 'pending', 'open', 'partially_filled', 'filled', 'canceled', 'rejected', 'expired', 'error')",
            name=op.f("ck_orders_status_known"),
        ),
        sa.CheckConstraint("CAST(final_volume AS NUMERIC) >= 0", name=op.f("ck_orders_final_volume_not_negative")),
        sa.CheckConstraint("CAST(leverage AS NUMERIC) > 0", name=op.f("ck_orders_leverage_positive")),
        sa.CheckConstraint("CAST(price AS NUMERIC) > 0", name=op.f("ck_orders_price_positive")),
        sa.CheckConstraint("CAST(volume AS NUMERIC) > 0", name=op.f("ck_orders_volume_positive")),
        sa.ForeignKeyConstraint(["bot_id"], ["bots.bot_id"], name=op.f("fk_orders_bot_id"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(
            ["cat_ex_id"], ["cat_exchanges.cat_ex_id"], name=op.f("fk_orders_cat_ex_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(["ex_id"], ["exchanges.ex_id"], name=op.f("fk_orders_ex_id"), ondelete="RESTRICT"),
        sa.ForeignKeyConstraint(["uid"], ["users.uid"], name=op.f("fk_orders_uid"), ondelete="RESTRICT"),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_orders")),
        sa.UniqueConstraint("uid", "client_order_id", name=op.f("uq_orders_uid_client_order_id")),
        sqlite_autoincrement=True,
    )


def _index_orders() -> None:
    op.create_index(op.f("ix_orders_bot_id_order_id"), "orders", ["bot_id", "order_id"], unique=False)
    op.create_index(op.f("ix_orders_bot_id_status_symbol"), "orders", ["bot_id", "status", "symbol"], unique=False)
    op.create_index(op.f("ix_orders_ex_id_ex_order_id"), "orders", ["ex_id", "ex_order_id"], unique=False)
    op.create_index(
        "ix_orders_open",
        "orders",
        ["ex_id", "order_id"],
        unique=False,
        sqlite_where=sa.text("status IN ('new', 'pending', 'open', 'partially_filled')"),
        postgresql_where=sa.text("status IN ('new', 'pending', 'open', 'partially_filled')"),
    )
    op.create_index(op.f("ix_orders_uid_order_id"), "orders", ["uid", "order_id"], unique=False)
    op.create_index(op.f("ix_orders_uid_symbol_order_id"), "orders", ["uid", "symbol", "order_id"], unique=False)


def _create_dry_trades() -> None:
    op.create_table(
        "dry_trades",
        sa.Column("trade_id", Id, autoincrement=True, nullable=False),
        sa.Column("bot_id", Id, nullable=True),
        sa.Column("uid", Id, nullable=False),
        sa.Column("ex_id", Id, nullable=False),
        sa.Column("cat_ex_id", Id, nullable=True),
        sa.Column("order_id", Id, nullable=True),
        sa.Column("symbol", sa.String(length=40), nullable=False),
        sa.Column("side", sa.String(4), nullable=False),
        sa.Column("volume", Money(), nullable=False),
        sa.Column("price", Money(), nullable=False),
        sa.Column("cost", Money(), nullable=False),
        sa.Column("fee", Money(), nullable=False),
        sa.Column("cur_volume", Money(), nullable=True),
        sa.Column("roi", Money(), nullable=True),
        sa.Column("roi_pct", Money(), nullable=True),
        sa.Column("reason", sa.String(length=200), nullable=True),
        sa.Column("closingtrade", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.CheckConstraint("side IN ('buy', 'sell')", name=op.f("ck_dry_trades_side_known")),
        sa.CheckConstraint("CAST(price AS NUMERIC) > 0", name=op.f("ck_dry_trades_price_positive")),
        sa.CheckConstraint("CAST(volume AS NUMERIC) > 0", name=op.f("ck_dry_trades_volume_positive")),
        sa.ForeignKeyConstraint(["bot_id"], ["bots.bot_id"], name=op.f("fk_dry_trades_bot_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["cat_ex_id"], ["cat_exchanges.cat_ex_id"], name=op.f("fk_dry_trades_cat_ex_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(["ex_id"], ["exchanges.ex_id"], name=op.f("fk_dry_trades_ex_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name=op.f("fk_dry_trades_order_id"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["uid"], ["users.uid"], name=op.f("fk_dry_trades_uid"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("trade_id", name=op.f("pk_dry_trades")),
        sqlite_autoincrement=True,
    )


def _index_dry_trades() -> None:
    op.create_index(op.f("ix_dry_trades_bot_id_trade_id"), "dry_trades", ["bot_id", "trade_id"], unique=False)
    op.create_index(op.f("ix_dry_trades_ex_id_symbol_trade_id"), "dry_trades", ["ex_id", "symbol", "trade_id"], unique=False)
    op.create_index(op.f("ix_dry_trades_order_id"), "dry_trades", ["order_id"], unique=False)
    op.create_index(op.f("ix_dry_trades_uid_created_at"), "dry_trades", ["uid", "created_at"], unique=False)
    op.create_index(op.f("ix_dry_trades_uid_trade_id"), "dry_trades", ["uid", "trade_id"], unique=False)


def _create_trades() -> None:
    op.create_table(
        "trades",
        sa.Column("trade_id", Id, autoincrement=True, nullable=False),
        sa.Column("ex_trade_id", sa.String(length=64), nullable=False),
        sa.Column("ex_order_id", sa.String(length=64), nullable=False),
        sa.Column("uid", Id, nullable=False),
        sa.Column("ex_id", Id, nullable=False),
        sa.Column("cat_ex_id", Id, nullable=True),
        sa.Column("bot_id", Id, nullable=True),
        sa.Column("order_id", Id, nullable=True),
        sa.Column("symbol", sa.String(length=40), nullable=False),
        sa.Column("order_type", sa.String(15), nullable=False),
        sa.Column("side", sa.String(4), nullable=False),
        sa.Column("volume", Money(), nullable=False),
        sa.Column("price", Money(), nullable=False),
        sa.Column("cost", Money(), nullable=False),
        sa.Column("fee", Money(), nullable=False),
        sa.Column("fee_currency", sa.String(length=20), nullable=True),
        sa.Column("cur_volume", Money(), nullable=True),
        sa.Column("cur_avg_price", Money(), nullable=True),
        sa.Column("cur_avg_cost", Money(), nullable=True),
        sa.Column("cur_fee", Money(), nullable=True),
        sa.Column("roi", Money(), nullable=True),
        sa.Column("roi_pct", Money(), nullable=True),
        sa.Column("total_fee", Money(), nullable=True),
        sa.Column("leverage", Money(), nullable=False),
        sa.Column("time", UtcTime(), nullable=False),
        sa.CheckConstraint(
            "order_type IN ('market', 'limit', 'stop', 'stop_limit', 'take_profit', 'unknown')",
            name=op.f("ck_trades_order_type_known"),
        ),
        sa.CheckConstraint("side IN ('buy', 'sell')", name=op.f("ck_trades_side_known")),
        sa.CheckConstraint("CAST(leverage AS NUMERIC) > 0", name=op.f("ck_trades_leverage_positive")),
        sa.CheckConstraint("CAST(price AS NUMERIC) > 0", name=op.f("ck_trades_price_positive")),
        sa.CheckConstraint("CAST(volume AS NUMERIC) > 0", name=op.f("ck_trades_volume_positive")),
        sa.ForeignKeyConstraint(["bot_id"], ["bots.bot_id"], name=op.f("fk_trades_bot_id"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(
            ["cat_ex_id"], ["cat_exchanges.cat_ex_id"], name=op.f("fk_trades_cat_ex_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(["ex_id"], ["exchanges.ex_id"], name=op.f("fk_trades_ex_id"), ondelete="RESTRICT"),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name=op.f("fk_trades_order_id"), ondelete="RESTRICT"),
        sa.ForeignKeyConstraint(["uid"], ["users.uid"], name=op.f("fk_trades_uid"), ondelete="RESTRICT"),
        sa.PrimaryKeyConstraint("trade_id", name=op.f("pk_trades")),
        sa.UniqueConstraint("ex_id", "ex_trade_id", "ex_order_id", name=op.f("uq_trades_ex_id_ex_trade_id_ex_order_id")),
        sqlite_autoincrement=True,
    )


def _index_trades() -> None:
    op.create_index(op.f("ix_trades_bot_id_trade_id"), "trades", ["bot_id", "trade_id"], unique=False)
    op.create_index(op.f("ix_trades_ex_id_symbol_trade_id"), "trades", ["ex_id", "symbol", "trade_id"], unique=False)
    op.create_index(op.f("ix_trades_order_id"), "trades", ["order_id"], unique=False)
    op.create_index(op.f("ix_trades_uid_time"), "trades", ["uid", "time"], unique=False)
    op.create_index(op.f("ix_trades_uid_trade_id"), "trades", ["uid", "trade_id"], unique=False)


def upgrade() -> None:
    _create_orders()
    _index_orders()
    _create_dry_trades()
    _index_dry_trades()
    _create_trades()
    _index_trades()


def downgrade() -> None:
    for table in ("trades", "dry_trades", "orders"):
        op.drop_table(table)
