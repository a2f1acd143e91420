"""The private channels of the paper exchange: `executions` and `balances`, each message numbered."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from fullon_master_api.exchanges.paper.accounts import PaperAccount, PaperFill, PaperOrder
from fullon_master_api.exchanges.paper.markets import ASSETS
from fullon_master_api.exchanges.paper.messages import json_text, number, time_text
from fullon_master_api.exchanges.paper.sockets import Hub, Session

SNAPSHOT_TRADES: Final = 50
CODES: Final = {asset.name: asset.code for asset in ASSETS}


class Statements:
    """Tells the sockets of an account what happens to its orders and its money."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def on_order(self, account: PaperAccount, order: PaperOrder, step: str, fill: PaperFill | None) -> None:
        row = _fill_row(order, fill) if fill is not None else _step_row(order, step)
        for session in self._readers("executions", account):
            session.send_data(_numbered(session, "executions", "update", [row]))
        if fill is not None:
            rows = _ledger_rows(account, fill)
            for session in self._readers("balances", account):
                session.send_data(_numbered(session, "balances", "update", rows))

    def snapshot(self, session: Session, channel: str, params: Mapping[str, Any]) -> None:
        account = session.account
        assert account is not None, "a private channel was joined without an account"
        if channel == "balances":
            rows = [_balance_row(asset, amount) for asset, amount in account.balances.items()]
        else:
            # Orders and trades share one message, as at Kraken: a reader must not judge it by its first row.
            rows = [_order_row(order, "new") for order in account.open_orders] if params.get("snap_orders", True) else []
            if params.get("snap_trades"):
                fills = list(account.fills.values())[-SNAPSHOT_TRADES:]
                rows += [_fill_row(account.orders[fill.order_id], fill) for fill in reversed(fills)]
        session.send_data(_numbered(session, channel, "snapshot", rows))

    def _readers(self, channel: str, account: PaperAccount) -> list[Session]:
        return list(self._hub.readers.get((channel, account.key, ""), ()))


def _numbered(session: Session, channel: str, kind: str, rows: list[dict[str, Any]]) -> str:
    session.sequences[channel] += 1
    return json_text({"channel": channel, "type": kind, "data": rows, "sequence": session.sequences[channel]})


def _order_row(order: PaperOrder, step: str) -> dict[str, Any]:
    """Everything of an order: what a snapshot and its first message hold."""
    market = order.market
    named = {} if order.client_order_id is None else {"cl_ord_id": order.client_order_id}
    priced = {} if order.ticks is None else {"limit_price": number(market.price_text(order.ticks)), "limit_price_type": "static"}
    return {
        "order_id": order.order_id,
        "order_userref": order.userref,
        "symbol": market.symbol,
        "order_qty": number(market.quantity_text(order.lots)),
        "cum_qty": number(market.quantity_text(order.filled)),
        "cum_cost": number(order.cost),
        "time_in_force": order.time_in_force,
        "exec_type": step,
        "side": order.side,
        "order_type": order.order_type,
        "order_status": "pending_new" if step == "pending_new" else order.status,
        "fee_usd_equiv": number(order.fee),
        "fee_ccy_pref": "fciq",
        "timestamp": time_text(order.opened_ns),
        **named,
        **priced,
    }


def _step_row(order: PaperOrder, step: str) -> dict[str, Any]:
    """What a step changed, and no more: after the first message Kraken names neither symbol nor side again."""
    if step == "pending_new":
        return _order_row(order, step)
    row: dict[str, Any] = {
        "timestamp": time_text(order.closed_ns or order.opened_ns),
        "order_status": order.status,
        "exec_type": step,
        "order_userref": order.userref,
        "order_id": order.order_id,
    }
    if step == "amended":
        row["order_qty"] = number(order.market.quantity_text(order.lots))
        if order.ticks is not None:
            row["limit_price"] = number(order.market.price_text(order.ticks))
    if step in ("filled", "canceled"):
        row |= {
            "cum_qty": number(order.market.quantity_text(order.filled)),
            "cum_cost": number(order.cost),
            "fee_usd_equiv": number(order.fee),
            "avg_price": number(order.average.quantize(Decimal(1).scaleb(-order.market.pair_decimals - 2))),
        }
    if step == "canceled":
        row |= {"cancel_reason": order.reason, "reason": order.reason}
    return row


def _fill_row(order: PaperOrder, fill: PaperFill) -> dict[str, Any]:
    market = fill.market
    named = {} if order.client_order_id is None else {"cl_ord_id": order.client_order_id}
    return {
        "order_id": fill.order_id,
        "exec_id": fill.fill_id,
        "exec_type": "trade",
        "trade_id": fill.number,
        "symbol": market.symbol,
        "side": fill.side,
        "last_qty": number(market.quantity_text(fill.lots)),
        "last_price": number(market.price_text(fill.ticks)),
        "liquidity_ind": "m" if fill.maker else "t",
        "cost": number(fill.cost),
        "order_userref": order.userref,
        "order_status": order.status,
        "order_type": fill.order_type,
        "fee_usd_equiv": number(fill.fee),
        "fees": [{"asset": market.quote.code, "qty": number(fill.fee)}],
        "timestamp": time_text(fill.at_ns),
        **named,
    }


def _balance_row(asset: str, amount: Decimal) -> dict[str, Any]:
    wallet = {"type": "spot", "id": "main", "balance": number(amount)}
    return {"asset": CODES[asset], "asset_class": "currency", "balance": number(amount), "wallets": [wallet]}


def _ledger_rows(account: PaperAccount, fill: PaperFill) -> list[dict[str, Any]]:
    """The two entries of a fill: base and quote, each with the balance after it."""
    sign = 1 if fill.side == "buy" else -1
    quantity = sign * Decimal(fill.lots) / fill.market.lots_in_unit
    entries = ((fill.market.base.name, quantity, Decimal(0)), (fill.market.quote.name, -sign * fill.cost, fill.fee))
    return [
        {
            "ledger_id": f"L{fill.fill_id[1:]}",
            "ref_id": fill.fill_id,
            "timestamp": time_text(fill.at_ns),
            "type": "trade",
            "asset": CODES[asset],
            "asset_class": "currency",
            "category": "trade",
            "wallet_type": "spot",
            "wallet_id": "main",
            "amount": number(amount),
            "fee": number(fee),
            "balance": number(account.balances[asset]),
        }
        for asset, amount, fee in entries
    ]
