"""Accounts of the paper exchange: who may sign, what is held, ordered and filled."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from fullon_master_api.errors import BadUserInput
from fullon_master_api.exchanges.paper.markets import ASSETS, PaperMarket, find_asset
from fullon_master_api.model import Record

TOKEN_S: Final = 900
FEE_STEP: Final = Decimal("1E-8")
OPEN: Final = ("new", "partially_filled")


class Refusal(Exception):
    """A call or a command that is answered with this text, in Kraken's words."""


class PaperFill(Record, frozen=True, kw_only=True):
    """One execution of an order; `cost` without the fee, both in the quote currency."""

    fill_id: str
    number: int
    order_id: str
    market: PaperMarket
    side: str
    order_type: str
    ticks: int
    lots: int
    cost: Decimal
    fee: Decimal
    maker: bool
    at_ns: int


@dataclass(slots=True, eq=False)
class PaperOrder:
    """An order and how far it came; prices in ticks, quantities in lots."""

    order_id: str
    market: PaperMarket
    side: str
    order_type: str
    lots: int
    ticks: int | None
    opened_ns: int
    client_order_id: str | None = None
    userref: int = 0
    time_in_force: str = "GTC"
    post_only: bool = False
    filled: int = 0
    cost: Decimal = Decimal(0)
    fee: Decimal = Decimal(0)
    status: str = "new"
    reason: str = ""
    closed_ns: int | None = None
    fills: list[str] = field(default_factory=list)

    @property
    def left(self) -> int:
        return self.lots - self.filled

    @property
    def is_open(self) -> bool:
        return self.status in OPEN

    @property
    def average(self) -> Decimal:
        """Mean price of what was filled; 0 before the first fill."""
        return self.cost / self.filled * self.market.lots_in_unit if self.filled else Decimal(0)

    @property
    def held(self) -> tuple[str, Decimal]:
        """(asset, amount) that this order holds back: what is left to sell, or its cost with the fee."""
        quantity = Decimal(self.left) / self.market.lots_in_unit
        if self.side == "sell":
            return self.market.base.name, quantity
        price = Decimal(self.ticks or 0) / self.market.ticks_in_unit
        return self.market.quote.name, quantity * price * (1 + self.market.taker_fee)


class PaperAccount:
    """One key with its money. Amounts are `Decimal`, by Kraken's asset name."""

    def __init__(self, key: str, secret: str, balances: Mapping[str, Decimal | str]) -> None:
        self.key = key
        try:
            self._secret = base64.b64decode(secret, validate=True)
        except binascii.Error as error:
            raise BadUserInput("the secret of a paper account must be base64, as Kraken's are") from error
        self.balances: dict[str, Decimal] = {}
        self.orders: dict[str, PaperOrder] = {}
        self.fills: dict[str, PaperFill] = {}
        self._nonce = 0
        self._tokens: dict[str, float] = {}
        for name, amount in balances.items():
            asset = find_asset(name)
            if asset is None:
                known = ", ".join(asset.code for asset in ASSETS)
                raise BadUserInput(f"the paper exchange has no asset {name!r}; it has {known}")
            self.balances[asset.name] = Decimal(amount)

    def check(self, path: str, nonce: str, body: bytes, signature: str) -> None:
        """Raises: Refusal when the request was not signed by this account, or its nonce did not rise.

        Source: Kraken's REST authentication: HMAC-SHA512 of the path and SHA256(nonce and body), by the decoded secret.
        """
        digest = hashlib.sha256(nonce.encode() + body).digest()
        wanted = hmac.new(self._secret, path.encode() + digest, hashlib.sha512).digest()
        if not hmac.compare_digest(base64.b64encode(wanted).decode(), signature):
            raise Refusal("EAPI:Invalid signature")
        if not nonce.isdecimal() or int(nonce) <= self._nonce:
            raise Refusal("EAPI:Invalid nonce")
        self._nonce = int(nonce)

    def new_token(self) -> str:
        token = secrets.token_urlsafe(32)
        now_s = time.monotonic()
        self._tokens = {known: until for known, until in self._tokens.items() if until > now_s}
        self._tokens[token] = now_s + TOKEN_S
        return token

    def has_token(self, token: str) -> bool:
        return self._tokens.get(token, 0.0) > time.monotonic()

    @property
    def open_orders(self) -> list[PaperOrder]:
        return [order for order in self.orders.values() if order.is_open]

    def held(self, asset: str) -> Decimal:
        """How much of an asset open orders hold back."""
        return sum((amount for name, amount in (order.held for order in self.open_orders) if name == asset), Decimal(0))

    def free(self, asset: str) -> Decimal:
        return self.balances.get(asset, Decimal(0)) - self.held(asset)

    def book(self, order: PaperOrder, fill: PaperFill) -> None:
        """Move the money of a fill and note it on its order."""
        quantity = Decimal(fill.lots) / fill.market.lots_in_unit
        base, quote = fill.market.base.name, fill.market.quote.name
        sign = 1 if fill.side == "buy" else -1
        self.balances[base] = self.balances.get(base, Decimal(0)) + sign * quantity
        self.balances[quote] = self.balances.get(quote, Decimal(0)) - sign * fill.cost - fill.fee
        self.fills[fill.fill_id] = fill
        order.fills.append(fill.fill_id)
        order.filled += fill.lots
        order.cost += fill.cost
        order.fee += fill.fee
        order.status = "filled" if order.left == 0 else "partially_filled"
        if not order.is_open:
            order.closed_ns = fill.at_ns
