"""The OHLCV socket: real candles and trades as they come, to whoever showed a token."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import time
from typing import Any, Final

import orjson
from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from fullon_master_api.apis.ohlcv.frames import NS, parse_timeframe
from fullon_master_api.apis.ohlcv.tables import instant
from fullon_master_api.auth.sockets import SocketAllowance
from fullon_master_api.bus import Bus, Delivery, candle_topic, public_trades_topic
from fullon_master_api.errors import GatewayError, RateLimited, SlowConsumer, Unauthenticated
from fullon_master_api.logs import get_logger
from fullon_master_api.model import Candle, Gap, MarketTrades, Principal, Record, Scope, Timeframe
from fullon_master_api.rest.ohlcv.asked import find_symbol
from fullon_master_api.rest.ohlcv.bodies import now, trade_fragment

log = get_logger(__name__)
router = APIRouter(tags=["OHLCV socket"])

POLICY_VIOLATION: Final = 1008
FRAME_TOO_LARGE: Final = 1009
TRY_AGAIN_LATER: Final = 1013
FRAME_BYTES_MAX: Final = 16_000
SUBSCRIPTIONS_MAX: Final = 200
SEND_TIMEOUT_S: Final = 10.0
CANDLE_KINDS: Final = ("ohlcv_live", "candle_live")
KINDS: Final = (*CANDLE_KINDS, "trade_live")
FIELDS: Final = ("exchange", "symbol", "timeframe", "type")

Named = dict[str, str]
"""The four fields that name a subscription."""


class Refused(Record, frozen=True, kw_only=True):
    reason: str


@router.websocket("/ws/ohlcv")
async def serve(socket: WebSocket) -> None:
    """`?token=` or a header names the caller; a refused socket is closed with 1008 and the reason, before any data."""
    who = await _admit(socket)
    await socket.accept()
    allowance: SocketAllowance = socket.state.allowance
    if isinstance(who, Refused):
        allowance.count_refusal()
        await socket.close(POLICY_VIOLATION, who.reason)
        return
    try:
        with allowance.held(who):
            await Session(socket, who).run()
    except RateLimited as error:
        await socket.close(TRY_AGAIN_LATER, error.message)


async def _admit(socket: WebSocket) -> Principal | Refused:
    scheme, _, bearer = socket.headers.get("authorization", "").partition(" ")
    token = socket.query_params.get("token") or (bearer if scheme.lower() == "bearer" else "") or socket.headers.get("x-api-key")
    if not token:
        return Refused(reason="Not authenticated")
    authenticate: Callable[[str], Awaitable[Principal]] = socket.app.state.authenticate
    try:
        principal = await authenticate(token)
    except Unauthenticated as error:
        return Refused(reason=error.message[:120])
    except GatewayError as error:
        log.warning("ohlcv.authentication_failed", error=error.message)
        return Refused(reason="Authentication error")
    return principal if Scope.READ in principal.scopes else Refused(reason="this key needs the scope 'read'")


class Session:
    """Serves one socket until it closes or its token ends. Each subscription is a task of this session."""

    def __init__(self, socket: WebSocket, principal: Principal) -> None:
        self._socket, self._principal = socket, principal
        stores = socket.app.state.stores
        self._bus: Bus = stores.bus
        self._ohlcv, self._orm = stores.ohlcv, stores.orm
        self._running: dict[tuple[str, ...], asyncio.Task[None]] = {}
        self._sending = asyncio.Lock()

    async def run(self) -> None:
        ends_s = self._principal.expires_s
        try:
            async with asyncio.timeout(None if ends_s is None else max(0.0, ends_s - time())):
                await self._serve()
        except TimeoutError:
            await self._socket.close(POLICY_VIOLATION, "the token has expired: sign in again")

    async def _serve(self) -> None:
        try:
            async with asyncio.TaskGroup() as self._tasks:
                try:
                    await self._read()
                finally:
                    for task in self._running.values():
                        task.cancel()
        except* WebSocketDisconnect:
            log.info("ohlcv.socket_lost", uid=self._principal.uid)

    async def _read(self) -> None:
        while (frame := await self._socket.receive())["type"] != "websocket.disconnect":
            text: str | bytes = frame.get("text") or frame.get("bytes") or ""
            if len(text) > FRAME_BYTES_MAX:
                await self._socket.close(FRAME_TOO_LARGE, f"a frame may have {FRAME_BYTES_MAX} bytes")
                return
            try:
                request = orjson.loads(text)
            except orjson.JSONDecodeError:
                await self._fail("Invalid JSON format", "PARSE_FAILED")
                continue
            await self._act(request)

    async def _act(self, request: object) -> None:
        if not isinstance(request, dict):
            await self._fail("Invalid JSON format")
            return
        action = request.get("action")
        if action not in ("subscribe", "unsubscribe"):
            await self._fail(f"Unknown action: {str(action)[:60]}")
            return
        named = {name: value for name in FIELDS if isinstance(value := request.get(name), str) and 0 < len(value) <= 100}
        if len(named) < len(FIELDS):
            await self._fail("Missing required fields: exchange, symbol, timeframe, type")
            return
        try:
            self._socket.state.allowance.spend(self._principal)
            await (self._subscribe(named) if action == "subscribe" else self._unsubscribe(named))
        except GatewayError as error:
            await self._fail(
                f"{'Subscription' if action == 'subscribe' else 'Unsubscription'} error: {error.message}", error.code
            )

    async def _subscribe(self, named: Named) -> None:
        timeframe = parse_timeframe(named["timeframe"])
        if named["type"] not in KINDS:
            await self._fail(f"Subscription error: type must be one of {', '.join(KINDS)}")
            return
        await find_symbol(self._orm, named["exchange"], named["symbol"])
        key = tuple(named.values())
        if key not in self._running:
            if len(self._running) >= SUBSCRIPTIONS_MAX:
                await self._fail(f"Subscription error: a socket may have {SUBSCRIPTIONS_MAX} subscriptions")
                return
            listening = asyncio.Event()
            task = self._running[key] = self._tasks.create_task(self._watch(named, timeframe, listening), name=f"ohlcv:{key}")
            task.add_done_callback(lambda _task: self._running.pop(key, None))
            await listening.wait()  # so that what is published after the confirmation is not missed
            return
        await self._confirm(named, "subscription_confirmed", "subscribed")

    async def _unsubscribe(self, named: Named) -> None:
        task = self._running.get(tuple(named.values()))
        if task is not None:
            task.cancel()
        await self._confirm(named, "unsubscription_confirmed", "unsubscribed")

    async def _watch(self, named: Named, timeframe: Timeframe, listening: asyncio.Event) -> None:
        try:
            if named["type"] in CANDLE_KINDS:
                await self._watch_candles(named, timeframe, listening)
            else:
                await self._watch_trades(named, listening)
        except GatewayError as error:
            await self._fail(f"Subscription error: {error.message}", error.code)
        finally:
            listening.set()

    async def _watch_candles(self, named: Named, timeframe: Timeframe, listening: asyncio.Event) -> None:
        """The newest candle, then each change of it, its final, and the next. All are built from what the 1m ones tell."""
        key = (named["exchange"], named["symbol"])
        topic = candle_topic(*key, Timeframe.MINUTE_1.value)
        sent: Candle | None = None
        async with self._bus.subscribe(topic, delivery=Delivery.LATEST) as mailbox:
            await self._confirm(named, "subscription_confirmed", "subscribed")
            listening.set()
            sent = await self._send_newer(named, timeframe, sent)
            async for _ in mailbox:
                sent = await self._send_newer(named, timeframe, sent)

    async def _send_newer(self, named: Named, timeframe: Timeframe, sent: Candle | None) -> Candle | None:
        """Send what the store has from the last sent candle on, where it differs from that."""
        key = (named["exchange"], named["symbol"])
        start_ns = sent.opened_ns if sent else None
        (found,) = await self._ohlcv.candles([key], timeframe, start_ns=start_ns, limit=500 if sent else 1)
        for candle in found:
            if candle != sent:
                await self._send(named | {"type": "ohlcv_update"}, _candle_data(candle))
                sent = candle
        return sent

    async def _watch_trades(self, named: Named, listening: asyncio.Event) -> None:
        topic = public_trades_topic(named["exchange"], named["symbol"])
        async with self._bus.subscribe(topic, delivery=Delivery.QUEUE) as mailbox:
            await self._confirm(named, "subscription_confirmed", "subscribed")
            listening.set()
            async for _, message in mailbox:
                if isinstance(message, Gap):
                    raise SlowConsumer("trades may be missing here: read them over REST and subscribe again")
                assert isinstance(message, MarketTrades), "this topic carries trades"
                for trade in message.trades:
                    await self._send(named | {"type": "trade_update"}, trade_fragment(trade))

    async def _confirm(self, named: Named, kind: str, status: str) -> None:
        await self._send(named | {"type": kind, "subscription_type": named["type"]}, f'{{"status":"{status}"}}')

    async def _fail(self, message: str, code: str = "BAD_USER_INPUT") -> None:
        await self._send({"type": "error", "message": message, "code": code}, None)

    async def _send(self, body: dict[str, Any], data: str | None) -> None:
        """One message. Raises: WebSocketDisconnect when the client is gone, or took nothing for `SEND_TIMEOUT_S`."""
        message = body | {"timestamp": now()} | ({} if data is None else {"data": orjson.Fragment(data)})
        try:
            async with self._sending, asyncio.timeout(SEND_TIMEOUT_S):
                await self._socket.send_text(orjson.dumps(message).decode())
        except TimeoutError:
            raise WebSocketDisconnect(TRY_AGAIN_LATER, "the client does not read") from None


def _candle_data(candle: Candle) -> str:
    return (
        f'{{"timestamp":"{instant(candle.opened_ns // NS)}","open":{candle.open},"high":{candle.high},"low":{candle.low},'
        f'"close":{candle.close},"volume":{candle.volume},"is_final":{str(candle.final).lower()}}}'
    )
