"""Fills of live orders can neither be changed nor removed, whatever program holds the store.

A fill only loses the name of its bot when that bot is removed. Both stores refuse as they refuse a broken constraint.
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0005"
down_revision = "0004"

REFUSAL: Final = "fills of live orders can neither be changed nor removed"
COLUMNS: Final = (
    "trade_id, ex_trade_id, ex_order_id, uid, ex_id, cat_ex_id, order_id, symbol, order_type, side, volume, price, cost, fee,"
    " fee_currency, cur_volume, cur_avg_price, cur_avg_cost, cur_fee, roi, roi_pct, total_fee, leverage, time"
)
EVENTS: Final = {"trades_kept_on_update": f"UPDATE OF {COLUMNS}", "trades_kept_on_delete": "DELETE"}


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for name, event in EVENTS.items():
            op.execute(f"CREATE TRIGGER {name} BEFORE {event} ON trades BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END")
        return
    op.execute(
        "CREATE FUNCTION refuse_trades_change() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'restrict_violation'; END $$"
    )
    for name, event in EVENTS.items():
        op.execute(f"CREATE TRIGGER {name} BEFORE {event} ON trades FOR EACH ROW EXECUTE FUNCTION refuse_trades_change()")
    op.execute("CREATE TRIGGER trades_kept_on_truncate BEFORE TRUNCATE ON trades EXECUTE FUNCTION refuse_trades_change()")


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for name in EVENTS:
            op.execute(f"DROP TRIGGER {name}")
        return
    for name in (*EVENTS, "trades_kept_on_truncate"):
        op.execute(f"DROP TRIGGER {name} ON trades")
    op.execute("DROP FUNCTION refuse_trades_change()")
