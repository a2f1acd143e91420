"""A small exchange that speaks Binance's spot wire, for the tests of our adapter only; a test moves it by hand."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final
from urllib.parse import parse_qsl

from aiohttp import WSMsgType, web

START_MS: Final = 1_700_000_000_123
MARKET_PRICE: Final = "100.00000000"
PAIRS: Final = {"BTCUSDT": ("BTC", "USDT", "0.01000000", "0.00001000"), "ETHUSDT": ("ETH", "USDT", "0.01000000", "0.00010000")}


@dataclass
class BinanceWire:
    """State and sockets. Trades are rows of `aggTrades`; `orders` are Binance's own bodies by their number."""

    key: str
    secret: str
    url: str = ""
    now_ms: int = START_MS
    refuse: bool = False  # new sockets are closed at once
    trades: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {pair: [] for pair in PAIRS})
    balances: dict[str, tuple[Decimal, Decimal]] = field(default_factory=dict)
    orders: dict[int, dict[str, Any]] = field(default_factory=dict)
    fills: list[dict[str, Any]] = field(default_factory=list)
    streams: dict[str, set[web.WebSocketResponse]] = field(default_factory=dict)
    users: set[web.WebSocketResponse] = field(default_factory=set)
    requests: list[str] = field(default_factory=list)
    sockets: set[web.WebSocketResponse] = field(default_factory=set)
    transports: set[asyncio.Transport] = field(default_factory=set)

    def trade(
        self, pair: str, *, number: int, price: str = "100.00000000", quantity: str = "0.00012300", at_ms: int = START_MS
    ) -> None:
        """Note a trade, as REST will tell of it."""
        row = {"a": number, "p": price, "q": "0.00012300", "f": number, "l": number, "T": at_ms, "m": False, "M": True}
        self.trades[pair].append(row)

    async def push_trade(self, pair: str, *, number: int, at_ms: int = START_MS) -> None:
        self.trade(pair, number=number, at_ms=at_ms)
        await self.push(f"{pair.lower()}@aggTrade", {"e": "aggTrade", "E": at_ms, "s": pair} | self.trades[pair][-1])

    async def push_quote(self, pair: str, bid: str, ask: str) -> None:
        await self.push(
            f"{pair.lower()}@bookTicker", {"u": 1, "s": pair, "b": bid, "B": "1.50000000", "a": ask, "A": "2.00000000"}
        )

    async def push_ticker(self, pair: str, last: str) -> None:
        row = {"e": "24hrTicker", "E": START_MS, "s": pair, "p": "1.00", "P": "0.500", "w": "1", "x": "1", "c": last, "Q": "1"}
        row |= {"b": "1.00", "B": "1", "a": "2.00", "A": "1", "o": "1", "h": "9.00", "l": "0.50", "v": "7.00000000", "q": "1"}
        await self.push(f"{pair.lower()}@ticker", row | {"O": START_MS, "C": START_MS, "F": 1, "L": 2, "n": 2})

    async def push_kline(self, pair: str, opened_ms: int, close: str) -> None:
        bar = {"t": opened_ms, "T": opened_ms + 59_999, "s": pair, "i": "1m", "f": 1, "L": 1, "o": "100.00", "c": close}
        bar |= {"h": "110.00", "l": "90.00", "v": "0.12300000", "n": 1, "x": False, "q": "1", "V": "1", "Q": "1", "B": "0"}
        await self.push(f"{pair.lower()}@kline_1m", {"e": "kline", "E": opened_ms, "s": pair, "k": bar})

    async def push(self, stream: str, row: dict[str, Any]) -> None:
        for socket in list(self.streams.get(stream, ())):
            await socket.send_json(row)

    async def push_user(self, event: dict[str, Any]) -> None:
        for socket in list(self.users):
            await socket.send_json({"subscriptionId": 0, "event": event})

    async def push_execution(
        self, number: int, *, kind: str, status: str, last: str = "0", trade: int = -1, price: str | None = None
    ) -> None:
        """An `executionReport` on an order; with `trade` it is a fill of `last` at the order's price or at this one."""
        order = self.orders[number]
        order["status"] = status
        price = price or order["price"]
        if trade >= 0:
            cost = Decimal(price) * Decimal(last)
            order["executedQty"] = str(Decimal(order["executedQty"]) + Decimal(last))
            order["cummulativeQuoteQty"] = str(Decimal(order["cummulativeQuoteQty"]) + cost)
            self.fills.append(
                {
                    "symbol": order["symbol"], "id": trade, "orderId": number, "price": price, "qty": last,
                    "quoteQty": str(cost), "commission": "0.00001000", "commissionAsset": "USDT", "time": self.now_ms + trade,
                    "isBuyer": order["side"] == "BUY", "isMaker": order["type"] == "LIMIT",
                }
            )  # fmt: skip
        event = {"e": "executionReport", "E": self.now_ms, "s": order["symbol"], "c": order["clientOrderId"], "S": order["side"]}
        event |= {"o": order["type"], "f": "GTC", "q": order["origQty"], "p": order["price"], "P": "0.00", "F": "0.00", "g": -1}
        event |= {"C": "", "x": kind, "X": status, "r": "NONE", "i": number, "l": last, "z": order["executedQty"]}
        event |= {"L": price if trade >= 0 else "0.00", "n": "0.00001000" if trade >= 0 else "0", "N": "USDT", "t": trade}
        event |= {
            "T": self.now_ms + max(trade, 0),
            "w": order["status"] == "NEW",
            "m": order["type"] == "LIMIT",
            "O": self.now_ms,
        }
        event |= {"Z": order["cummulativeQuoteQty"], "Y": str(Decimal(price) * Decimal(last)), "Q": "0"}
        await self.push_user(event)

    async def execute(self, number: int, last: str, price: str) -> None:
        """Fill so much of an order: book it, and tell it as Binance does, an execution and then the balances it changed."""
        order = self.orders[number]
        base, quote, *_ = PAIRS[order["symbol"]]
        sign = 1 if order["side"] == "BUY" else -1
        for asset, change in ((base, sign * Decimal(last)), (quote, -sign * Decimal(last) * Decimal(price))):
            free, held = self.balances.get(asset, (Decimal(0), Decimal(0)))
            self.balances[asset] = (free + change, held)
        whole = Decimal(order["executedQty"]) + Decimal(last) == Decimal(order["origQty"])
        status, trade = "FILLED" if whole else "PARTIALLY_FILLED", len(self.fills) + 1
        await self.push_execution(number, kind="TRADE", status=status, last=last, trade=trade, price=price)
        await self.push_balances(base, quote)

    async def push_balances(self, *assets: str) -> None:
        """An `outboundAccountPosition`: it holds the assets that may have changed, and no others."""
        changed = [(asset, *self.balances[asset]) for asset in assets]
        rows = [{"a": asset, "f": str(free), "l": str(locked)} for asset, free, locked in changed]
        await self.push_user({"e": "outboundAccountPosition", "E": self.now_ms, "u": self.now_ms, "B": rows})

    def drop_sockets(self) -> None:
        """Cut every open socket without a goodbye."""
        for transport in list(self.transports):
            transport.abort()

    # ---- REST --------------------------------------------------------------------------------------------------------

    async def rest(self, request: web.Request) -> web.Response:
        name = request.path.removeprefix("/api/v3/")
        text = request.query_string or (await request.text())
        query = dict(parse_qsl(text))
        self.requests.append(f"{request.method} {name}")
        if name in ("account", "order", "openOrders", "myTrades"):
            plain, _, signature = text.rpartition("&signature=")
            wanted = hmac.new(self.secret.encode(), plain.encode(), hashlib.sha256).hexdigest()
            if request.headers.get("X-MBX-APIKEY") != self.key:
                return web.json_response({"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}, status=401)
            if signature != wanted:
                return web.json_response({"code": -1022, "msg": "Signature for this request is not valid."}, status=400)
        answers = {
            "exchangeInfo": self._info, "ticker/24hr": self._tickers, "klines": self._klines, "aggTrades": self._trades,
            "account": self._account, "openOrders": self._open, "myTrades": self._fills,
        }  # fmt: skip
        if name == "order":
            answer = self._order(request.method, query)
            if request.method == "POST" and answer.status == 200 and query["type"] == "MARKET":
                number = len(self.orders)
                await self.push_execution(number, kind="NEW", status="NEW")
                await self.execute(number, query["quantity"], MARKET_PRICE)  # Told before it is answered, as it may be.
                return web.json_response(self.orders[number])
            if request.method == "DELETE" and answer.status == 200:
                await self.push_execution(int(query["orderId"]), kind="CANCELED", status="CANCELED")
            return answer
        return web.json_response(answers[name](query))

    def _info(self, _: dict[str, str]) -> Any:
        return {"timezone": "UTC", "serverTime": START_MS, "rateLimits": [], "symbols": [_pair_body(pair) for pair in PAIRS]}

    def _tickers(self, query: dict[str, str]) -> Any:
        pairs = json.loads(query["symbols"]) if "symbols" in query else list(PAIRS)
        row: dict[str, Any] = {
            "lastPrice": "100.50000000",
            "bidPrice": "100.00000000",
            "bidQty": "1.0",
            "askPrice": "101.00000000",
            "askQty": "2.0",
        }
        row |= {"openPrice": "99.0", "highPrice": "105.0", "lowPrice": "95.0", "volume": "7.0", "quoteVolume": "700.0"}
        row |= {"priceChange": "1.5", "priceChangePercent": "1.515", "weightedAvgPrice": "100", "closeTime": START_MS}
        return [row | {"symbol": pair} for pair in pairs]

    def _klines(self, query: dict[str, str]) -> Any:
        spans = {"1m": 60_000, "1h": 3_600_000, "1d": 86_400_000}
        span_ms = spans[query["interval"]]
        opened: dict[int, list[dict[str, Any]]] = {}
        for row in self.trades[query["symbol"]]:
            if row["T"] >= int(query.get("startTime", 0)):
                opened.setdefault(row["T"] // span_ms * span_ms, []).append(row)
        return [
            [
                at_ms,
                *_prices(rows),
                str(sum(Decimal(row["q"]) for row in rows)),
                at_ms + span_ms - 1,
                "1",
                len(rows),
                "1",
                "1",
                "0",
            ]
            for at_ms, rows in list(opened.items())[: int(query.get("limit", 500))]
        ]

    def _trades(self, query: dict[str, str]) -> Any:
        rows, limit = self.trades[query["symbol"]], int(query.get("limit", 500))
        if "fromId" in query:
            rows = [row for row in rows if row["a"] >= int(query["fromId"])]
        if "startTime" in query:
            rows = [row for row in rows if int(query["startTime"]) <= row["T"] <= int(query["endTime"])]
        return rows[:limit]

    def _account(self, _: dict[str, str]) -> Any:
        rows = [{"asset": asset, "free": str(free), "locked": str(held)} for asset, (free, held) in self.balances.items()]
        return {"accountType": "SPOT", "updateTime": START_MS, "balances": rows}

    def _open(self, _: dict[str, str]) -> Any:
        return [order for order in self.orders.values() if order["status"] in ("NEW", "PARTIALLY_FILLED")]

    def _fills(self, query: dict[str, str]) -> Any:
        rows = [row for row in self.fills if row["symbol"] == query["symbol"] and row["time"] >= int(query.get("startTime", 0))]
        return rows[: int(query.get("limit", 500))]

    def order_by_hand(self, pair: str, side: str, quantity: str, price: str) -> int:
        """An order placed at the exchange itself; answers its number."""
        return self._accept({"symbol": pair, "side": side, "quantity": quantity, "price": price, "type": "LIMIT"})

    def _accept(self, query: dict[str, str]) -> int:
        number = len(self.orders) + 1
        self.orders[number] = {
            "symbol": query["symbol"], "orderId": number, "clientOrderId": query.get("newClientOrderId", f"c{number}"),
            "price": query.get("price", "0"), "origQty": query["quantity"], "executedQty": "0", "cummulativeQuoteQty": "0",
            "status": "NEW", "timeInForce": "GTC", "type": query["type"], "side": query["side"], "time": self.now_ms,
            "transactTime": self.now_ms, "updateTime": self.now_ms,
        }  # fmt: skip
        return number

    def _order(self, method: str, query: dict[str, str]) -> web.Response:
        if method == "POST":
            if Decimal(query["quantity"]) > 100:
                return web.json_response(
                    {"code": -2010, "msg": "Account has insufficient balance for requested action."}, status=400
                )
            return web.json_response(self.orders[self._accept(query)])
        order = self.orders.get(int(query["orderId"]))
        if order is None or order["symbol"] != query["symbol"]:
            code = -2011 if method == "DELETE" else -2013
            return web.json_response({"code": code, "msg": "Order does not exist."}, status=400)
        if method == "DELETE":
            order["status"] = "CANCELED"
        return web.json_response(order)

    # ---- sockets -----------------------------------------------------------------------------------------------------

    async def stream(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        transport = request.transport
        assert transport is not None
        if self.refuse:
            raise web.HTTPServiceUnavailable
        await socket.prepare(request)
        self.sockets.add(socket)
        self.transports.add(transport)
        async for message in socket:
            asked = json.loads(message.data) if message.type is WSMsgType.TEXT else {}
            for name in asked.get("params", ()):
                readers = self.streams.setdefault(name, set())
                (readers.add if asked["method"] == "SUBSCRIBE" else readers.discard)(socket)
            await socket.send_json({"result": None, "id": asked.get("id")})
        for readers in self.streams.values():
            readers.discard(socket)
        self.sockets.discard(socket)
        self.transports.discard(transport)
        return socket

    async def user(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        transport = request.transport
        assert transport is not None
        if self.refuse:
            raise web.HTTPServiceUnavailable
        await socket.prepare(request)
        self.sockets.add(socket)
        self.transports.add(transport)
        async for message in socket:
            asked = json.loads(message.data)
            params = dict(asked["params"])
            signature = params.pop("signature", "")
            plain = "&".join(f"{name}={params[name]}" for name in sorted(params))
            if signature == hmac.new(self.secret.encode(), plain.encode(), hashlib.sha256).hexdigest():
                self.users.add(socket)
                await socket.send_json({"id": asked["id"], "status": 200, "result": {"subscriptionId": 0}})
            else:
                error = {"code": -1022, "msg": "Signature for this request is not valid."}
                await socket.send_json({"id": asked["id"], "status": 400, "error": error})
        self.users.discard(socket)
        self.sockets.discard(socket)
        self.transports.discard(transport)
        return socket

    @property
    def subscribed(self) -> list[str]:
        return sorted(name for name, readers in self.streams.items() if readers)


def _prices(rows: list[dict[str, Any]]) -> list[str]:
    prices = [row["p"] for row in rows]
    return [prices[0], max(prices), min(prices), prices[-1], str(sum(Decimal(row["q"]) for row in rows))]


def _pair_body(pair: str) -> dict[str, Any]:
    base, quote, tick, step = PAIRS[pair]
    return {
        "symbol": pair, "status": "TRADING", "baseAsset": base, "baseAssetPrecision": 8, "quoteAsset": quote,
        "quotePrecision": 8, "quoteAssetPrecision": 8, "orderTypes": ["LIMIT", "MARKET"], "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False, "permissions": ["SPOT"], "permissionSets": [["SPOT"]],
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000.00000000", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": step, "maxQty": "9000.00000000", "stepSize": step},
            {"filterType": "NOTIONAL", "minNotional": "5.00000000", "applyMinToMarket": True},
        ],
    }  # fmt: skip


@asynccontextmanager
async def open_binance(key: str, secret: str) -> AsyncIterator[BinanceWire]:
    """The wire on a free port of the loopback, until the block ends."""
    wire = BinanceWire(key, secret)
    app = web.Application()
    app.router.add_route("*", "/api/v3/{name:.+}", wire.rest)
    app.router.add_get("/stream/ws/{number}", wire.stream)
    app.router.add_get("/ws-api/v3", wire.user)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    wire.url = f"http://{host}:{port}"
    try:
        yield wire
    finally:
        for socket in list(wire.sockets):
            await socket.close()
        await runner.cleanup()
