"""What a client with a token may send over a socket of the paper exchange: its own channels, and orders."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from fullon_master_api.exchanges.paper.accounts import PaperAccount, Refusal
from fullon_master_api.exchanges.paper.matching import Matching
from fullon_master_api.exchanges.paper.sockets import Hub, Session, Topic
from fullon_master_api.exchanges.paper.statements import Statements

CHANNELS: Final = ("executions", "balances")
ORDER_METHODS: Final = ("add_order", "amend_order", "cancel_order", "cancel_all")

Reply = Callable[..., None]
"""Sends the answer of a command: `reply(success=…, result=…)` or `reply(success=False, error=…)`."""


class PrivateDesk:
    """Answers the commands that name a token."""

    def __init__(self, accounts: Mapping[str, PaperAccount], matching: Matching, hub: Hub, statements: Statements) -> None:
        self._accounts = accounts
        self._matching = matching
        self._hub = hub
        self._statements = statements

    def account(self, session: Session, params: Mapping[str, Any]) -> PaperAccount:
        """Raises: Refusal when the token is nobody's, is too old, or came over the public socket."""
        token = str(params.get("token", ""))
        for account in self._accounts.values() if session.private else ():
            if account.has_token(token):
                return account
        raise Refusal("ESession:Invalid session")

    def change(self, session: Session, method: str, params: Mapping[str, Any], reply: Reply) -> None:
        """Subscribe or unsubscribe one of the account's channels."""
        channel = str(params.get("channel"))
        account = self.account(session, params)
        topic: Topic = (channel, account.key, "")
        if method == "unsubscribe":
            if topic not in session.topics:
                raise Refusal("Subscription Not Found")
            self._hub.leave(session, topic)
            reply(success=True, result={"channel": channel})
            return
        if topic in session.topics:
            raise Refusal("Already subscribed")
        session.account = account
        self._hub.join(session, topic)
        reply(success=True, result={"channel": channel, "snapshot": True})
        self._statements.snapshot(session, channel, params)

    def order(self, session: Session, method: str, params: Mapping[str, Any], reply: Reply) -> None:
        account = self.account(session, params)
        if method == "add_order":
            reply(success=True, result=self._add(account, params))
        elif method == "amend_order":
            quantity, price = params.get("order_qty"), params.get("limit_price")
            order_id = str(params.get("order_id"))
            self._matching.amend(
                account,
                order_id,
                quantity=None if quantity is None else str(quantity),
                price=None if price is None else str(price),
            )
            reply(success=True, result={"amend_id": "T" + order_id[1:], "order_id": order_id})
        elif method == "cancel_order":
            for order_id in _listed(params.get("order_id")) + _listed(params.get("cl_ord_id")):
                reply(success=True, result={"order_id": self._matching.cancel(account, order_id).order_id})
        else:
            orders = account.open_orders
            for order in orders:
                self._matching.cancel(account, order.order_id)
            reply(success=True, result={"count": len(orders)})

    def _add(self, account: PaperAccount, params: Mapping[str, Any]) -> dict[str, Any]:
        """The same order in the words of REST, which the matching takes."""
        names = {
            "symbol": "pair",
            "side": "type",
            "order_type": "ordertype",
            "order_qty": "volume",
            "limit_price": "price",
            "cl_ord_id": "cl_ord_id",
            "order_userref": "userref",
            "time_in_force": "timeinforce",
        }
        request = {rest: str(params[ours]) for ours, rest in names.items() if params.get(ours) is not None}
        if params.get("post_only"):
            request["oflags"] = "post"
        order = self._matching.place(account, request)
        named = {} if order.client_order_id is None else {"cl_ord_id": order.client_order_id}
        return {"order_id": order.order_id} | named


def _listed(value: Any) -> list[str]:
    if value is None:
        return []
    return [str(item) for item in value] if isinstance(value, Iterable) and not isinstance(value, str) else [str(value)]
