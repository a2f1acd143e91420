"""Users, their keys and tokens; exchanges, accounts and symbols."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from fullon_master_api.apis.orm.columns import Id, Money, UtcTime

revision = "0001"
down_revision = None


def _create_cat_exchanges() -> None:
    op.create_table(
        "cat_exchanges",
        sa.Column("cat_ex_id", Id, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(length=30), nullable=False),
        sa.Column("ohlcv_view", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("cat_ex_id", name=op.f("pk_cat_exchanges")),
        sa.UniqueConstraint("name", name=op.f("uq_cat_exchanges_name")),
        sqlite_autoincrement=True,
    )


def _create_users() -> None:
    op.create_table(
        "users",
        sa.Column("uid", Id, autoincrement=True, nullable=False),
        sa.Column("mail", sa.String(length=80), nullable=False),
        sa.Column("password_hash", sa.String(length=200), nullable=False),
        sa.Column("token_version", sa.Integer(), nullable=False),
        sa.Column("f2a", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(10), nullable=False),
        sa.Column("name", sa.String(length=50), nullable=False),
        sa.Column("lastname", sa.String(length=50), nullable=False),
        sa.Column("phone", sa.String(length=20), nullable=False),
        sa.Column("id_num", sa.String(length=15), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("manager", Id, nullable=True),
        sa.Column("external_id", sa.String(length=80), nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.CheckConstraint("role IN ('ADMIN', 'USER')", name=op.f("ck_users_role_known")),
        sa.ForeignKeyConstraint(["manager"], ["users.uid"], name=op.f("fk_users_manager"), ondelete="RESTRICT"),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_users")),
        sa.UniqueConstraint("external_id", name=op.f("uq_users_external_id")),
        sa.UniqueConstraint("mail", name=op.f("uq_users_mail")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_users_manager"), "users", ["manager"], unique=False)


def _create_api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("api_key_id", Id, autoincrement=True, nullable=False),
        sa.Column("uid", Id, nullable=False),
        sa.Column("key_hash", sa.String(length=64), nullable=False),
        sa.Column("prefix", sa.String(length=24), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("scopes", sa.String(80), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("expires_at", UtcTime(), nullable=True),
        sa.Column("last_used_at", UtcTime(), nullable=True),
        sa.ForeignKeyConstraint(["uid"], ["users.uid"], name=op.f("fk_api_keys_uid"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("api_key_id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("key_hash", name=op.f("uq_api_keys_key_hash")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_api_keys_uid"), "api_keys", ["uid"], unique=False)


def _create_cat_exchanges_params() -> None:
    op.create_table(
        "cat_exchanges_params",
        sa.Column("cat_ex_id", Id, nullable=False),
        sa.Column("name", sa.String(length=20), nullable=False),
        sa.Column("value", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(
            ["cat_ex_id"], ["cat_exchanges.cat_ex_id"], name=op.f("fk_cat_exchanges_params_cat_ex_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("cat_ex_id", "name", name=op.f("pk_cat_exchanges_params")),
    )


def _create_exchanges() -> None:
    op.create_table(
        "exchanges",
        sa.Column("ex_id", Id, autoincrement=True, nullable=False),
        sa.Column("uid", Id, nullable=False),
        sa.Column("cat_ex_id", Id, nullable=False),
        sa.Column("name", sa.String(length=50), nullable=False),
        sa.Column("test", sa.Boolean(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["cat_ex_id"], ["cat_exchanges.cat_ex_id"], name=op.f("fk_exchanges_cat_ex_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(["uid"], ["users.uid"], name=op.f("fk_exchanges_uid"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("ex_id", name=op.f("pk_exchanges")),
        sa.UniqueConstraint("uid", "cat_ex_id", "name", name=op.f("uq_exchanges_uid_cat_ex_id_name")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_exchanges_cat_ex_id"), "exchanges", ["cat_ex_id"], unique=False)


def _create_refresh_tokens() -> None:
    op.create_table(
        "refresh_tokens",
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("family", sa.String(length=64), nullable=False),
        sa.Column("uid", Id, nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("expires_at", UtcTime(), nullable=False),
        sa.Column("used_at", UtcTime(), nullable=True),
        sa.Column("revoked_at", UtcTime(), nullable=True),
        sa.ForeignKeyConstraint(["uid"], ["users.uid"], name=op.f("fk_refresh_tokens_uid"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_refresh_tokens")),
    )
    op.create_index(op.f("ix_refresh_tokens_expires_at"), "refresh_tokens", ["expires_at"], unique=False)
    op.create_index(op.f("ix_refresh_tokens_family"), "refresh_tokens", ["family"], unique=False)
    op.create_index(op.f("ix_refresh_tokens_uid"), "refresh_tokens", ["uid"], unique=False)


def _create_symbols() -> None:
    op.create_table(
        "symbols",
        sa.Column("symbol_id", Id, autoincrement=True, nullable=False),
        sa.Column("symbol", sa.String(length=40), nullable=False),
        sa.Column("cat_ex_id", Id, nullable=False),
        sa.Column("updateframe", sa.String(length=3), nullable=False),
        sa.Column("backtest", sa.SmallInteger(), nullable=False),
        sa.Column("decimals", sa.SmallInteger(), nullable=False),
        sa.Column("quantity_decimals", sa.SmallInteger(), nullable=False),
        sa.Column("base", sa.String(length=20), nullable=False),
        sa.Column("quote", sa.String(length=20), nullable=False),
        sa.Column("ex_base", sa.String(length=20), nullable=True),
        sa.Column("futures", sa.Boolean(), nullable=False),
        sa.Column("only_ticker", sa.Boolean(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.CheckConstraint("CAST(backtest AS NUMERIC) >= 0", name=op.f("ck_symbols_backtest_not_negative")),
        sa.CheckConstraint("CAST(decimals AS NUMERIC) >= 0", name=op.f("ck_symbols_decimals_not_negative")),
        sa.CheckConstraint("CAST(quantity_decimals AS NUMERIC) >= 0", name=op.f("ck_symbols_quantity_decimals_not_negative")),
        sa.ForeignKeyConstraint(
            ["cat_ex_id"], ["cat_exchanges.cat_ex_id"], name=op.f("fk_symbols_cat_ex_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("symbol_id", name=op.f("pk_symbols")),
        sa.UniqueConstraint("cat_ex_id", "symbol", name=op.f("uq_symbols_cat_ex_id_symbol")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_symbols_symbol"), "symbols", ["symbol"], unique=False)


def _create_exchange_credentials() -> None:
    op.create_table(
        "exchange_credentials",
        sa.Column("ex_id", Id, nullable=False),
        sa.Column("key_id", sa.String(length=16), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("updated_at", UtcTime(), nullable=False),
        sa.ForeignKeyConstraint(["ex_id"], ["exchanges.ex_id"], name=op.f("fk_exchange_credentials_ex_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("ex_id", name=op.f("pk_exchange_credentials")),
    )


def _create_exchange_history() -> None:
    op.create_table(
        "exchange_history",
        sa.Column("history_id", Id, autoincrement=True, nullable=False),
        sa.Column("ex_id", Id, nullable=False),
        sa.Column("uid", Id, nullable=False),
        sa.Column("currency", sa.String(length=20), nullable=False),
        sa.Column("balance", Money(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.ForeignKeyConstraint(["ex_id"], ["exchanges.ex_id"], name=op.f("fk_exchange_history_ex_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["uid"], ["users.uid"], name=op.f("fk_exchange_history_uid"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("history_id", name=op.f("pk_exchange_history")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_exchange_history_ex_id"), "exchange_history", ["ex_id"], unique=False)
    op.create_index(op.f("ix_exchange_history_uid"), "exchange_history", ["uid"], unique=False)


def upgrade() -> None:
    _create_cat_exchanges()
    _create_users()
    _create_api_keys()
    _create_cat_exchanges_params()
    _create_exchanges()
    _create_refresh_tokens()
    _create_symbols()
    _create_exchange_credentials()
    _create_exchange_history()


def downgrade() -> None:
    for table in (
        "exchange_history",
        "exchange_credentials",
        "symbols",
        "refresh_tokens",
        "exchanges",
        "cat_exchanges_params",
        "api_keys",
        "users",
        "cat_exchanges",
    ):
        op.drop_table(table)
