"""The private REST calls of the paper exchange, Kraken's `/0/private/…`, signed."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from fullon_master_api.exchanges.paper.accounts import TOKEN_S, PaperAccount, PaperFill, PaperOrder, Refusal
from fullon_master_api.exchanges.paper.generator import seconds_text
from fullon_master_api.exchanges.paper.matching import Matching
from fullon_master_api.exchanges.paper.messages import number
from fullon_master_api.exchanges.paper.tape import SECOND_NS

PAGE: Final = 50
QUERY_MAX: Final = 50
STATUSES: Final = {"new": "open", "partially_filled": "open", "filled": "closed", "canceled": "canceled"}


class PrivateRest:
    """Answers by the last part of the path, for the account whose key signed the request."""

    def __init__(self, accounts: Mapping[str, PaperAccount], matching: Matching) -> None:
        self._accounts = accounts
        self._matching = matching

    def answer(self, path: str, headers: Mapping[str, str], body: bytes, *, maintenance: bool) -> Any:
        """Raises: Refusal with Kraken's text where the request is not signed, or cannot be answered."""
        account = self._accounts.get(headers.get("API-Key", ""))
        if account is None:
            raise Refusal("EAPI:Invalid key")
        fields = _fields(headers, body)
        account.check(path, fields.get("nonce", ""), body, headers.get("API-Sign", ""))
        if maintenance:
            raise Refusal("EService:Unavailable")
        calls = {
            "Balance": self._balance,
            "BalanceEx": self._balance_held,
            "GetWebSocketsToken": self._token,
            "AddOrder": self._add,
            "AmendOrder": self._amend,
            "CancelOrder": self._cancel,
            "CancelAll": self._cancel_all,
            "OpenOrders": self._open,
            "ClosedOrders": self._closed,
            "QueryOrders": self._query,
            "TradesHistory": self._trades,
        }
        call = calls.get(path.rsplit("/", 1)[-1])
        if call is None:
            raise Refusal("EGeneral:Unknown method")
        return call(account, fields)

    def _balance(self, account: PaperAccount, _: Mapping[str, str]) -> Any:
        return {asset: f"{amount:f}" for asset, amount in account.balances.items()}

    def _balance_held(self, account: PaperAccount, _: Mapping[str, str]) -> Any:
        return {
            asset: {"balance": f"{amount:f}", "hold_trade": f"{account.held(asset):f}"}
            for asset, amount in account.balances.items()
        }

    def _token(self, account: PaperAccount, _: Mapping[str, str]) -> Any:
        return {"token": account.new_token(), "expires": TOKEN_S}

    def _add(self, account: PaperAccount, fields: Mapping[str, str]) -> Any:
        order = self._matching.place(account, fields)
        placed = {} if order.order_id not in account.orders else {"txid": [order.order_id]}
        return {"descr": {"order": _description(order)}} | placed

    def _amend(self, account: PaperAccount, fields: Mapping[str, str]) -> Any:
        order = self._matching.amend(
            account, fields.get("txid", ""), quantity=fields.get("order_qty"), price=fields.get("limit_price")
        )
        return {"amend_id": "T" + order.order_id[1:]}

    def _cancel(self, account: PaperAccount, fields: Mapping[str, str]) -> Any:
        self._matching.cancel(account, fields.get("txid") or fields.get("cl_ord_id", ""))
        return {"count": 1}

    def _cancel_all(self, account: PaperAccount, _: Mapping[str, str]) -> Any:
        orders = account.open_orders
        for order in orders:
            self._matching.cancel(account, order.order_id)
        return {"count": len(orders)}

    def _open(self, account: PaperAccount, _: Mapping[str, str]) -> Any:
        return {"open": {order.order_id: order_body(order) for order in reversed(account.open_orders)}}

    def _closed(self, account: PaperAccount, fields: Mapping[str, str]) -> Any:
        start_ns, offset = _instant_ns(fields.get("start")), int(fields.get("ofs", 0))
        orders = [order for order in account.orders.values() if order.closed_ns is not None and order.closed_ns > start_ns]
        page = orders[::-1][offset : offset + PAGE]
        return {"closed": {order.order_id: order_body(order) for order in page}, "count": len(orders)}

    def _query(self, account: PaperAccount, fields: Mapping[str, str]) -> Any:
        ids = fields.get("txid", "").split(",")
        if len(ids) > QUERY_MAX:
            raise Refusal("EGeneral:Invalid arguments:txid")
        found = {order_id: order_body(account.orders[order_id]) for order_id in ids if order_id in account.orders}
        if not found:
            raise Refusal("EOrder:Invalid order")
        return found

    def _trades(self, account: PaperAccount, fields: Mapping[str, str]) -> Any:
        """Fills later than `start`, newest first, fifty a page from `ofs` on."""
        start_ns, offset = _instant_ns(fields.get("start")), int(fields.get("ofs", 0))
        fills = [fill for fill in account.fills.values() if fill.at_ns > start_ns]
        page = fills[::-1][offset : offset + PAGE]
        return {"trades": {fill.fill_id: _fill_body(fill) for fill in page}, "count": len(fills)}


def _fields(headers: Mapping[str, str], body: bytes) -> dict[str, str]:
    if headers.get("Content-Type", "").startswith("application/json"):
        try:
            decoded = msgspec.json.decode(body, type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise Refusal("EGeneral:Invalid arguments") from error
        return {name: str(value) for name, value in decoded.items()}
    return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))


def _instant_ns(text: str | None) -> int:
    try:
        return 0 if not text else int(Decimal(text) * SECOND_NS)
    except ArithmeticError as error:
        raise Refusal("EGeneral:Invalid arguments:start") from error


def _description(order: PaperOrder) -> str:
    volume = order.market.quantity_text(order.lots)
    price = "" if order.ticks is None else f" {order.market.price_text(order.ticks)}"
    return f"{order.side} {volume} {order.market.altname} @ {order.order_type}{price}"


def order_body(order: PaperOrder) -> dict[str, Any]:
    """An order as `OpenOrders`, `ClosedOrders` and `QueryOrders` print it."""
    market = order.market
    price = "0" if order.ticks is None else market.price_text(order.ticks)
    return {
        "refid": None,
        "userref": order.userref or None,
        "cl_ord_id": order.client_order_id,
        "status": STATUSES[order.status],
        "reason": order.reason or None,
        "opentm": number(seconds_text(order.opened_ns)),
        "starttm": 0,
        "expiretm": 0,
        **({} if order.closed_ns is None else {"closetm": number(seconds_text(order.closed_ns))}),
        "descr": {
            "pair": market.altname,
            "type": order.side,
            "ordertype": order.order_type,
            "price": price,
            "price2": "0",
            "leverage": "none",
            "order": _description(order),
            "close": "",
        },
        "vol": market.quantity_text(order.lots),
        "vol_exec": market.quantity_text(order.filled),
        "cost": f"{order.cost:f}",
        "fee": f"{order.fee:f}",
        "price": f"{order.average.quantize(Decimal(1).scaleb(-market.pair_decimals - 2)):f}",
        "stopprice": "0.00000",
        "limitprice": "0.00000",
        "misc": "",
        "oflags": "fciq,post" if order.post_only else "fciq",
        "trades": list(order.fills),
    }


def _fill_body(fill: PaperFill) -> dict[str, Any]:
    return {
        "ordertxid": fill.order_id,
        "postxid": "TKH2SE-M7IF5-CFI7LT",
        "pair": fill.market.pair,
        "time": number(seconds_text(fill.at_ns)),
        "type": fill.side,
        "ordertype": fill.order_type,
        "price": fill.market.rest_price(fill.market.price_text(fill.ticks)),
        "cost": f"{fill.cost:f}",
        "fee": f"{fill.fee:f}",
        "vol": fill.market.quantity_text(fill.lots),
        "margin": "0.00000",
        "leverage": "0",
        "misc": "",
        "trade_id": fill.number,
        "maker": fill.maker,
    }
