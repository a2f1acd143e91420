"""The paper exchange as a server: its routes, its clock, its life."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any, Final

from aiohttp import WSMsgType, web

from fullon_master_api.errors import Unavailable
from fullon_master_api.exchanges.paper.accounts import PaperAccount, Refusal
from fullon_master_api.exchanges.paper.commands import Desk
from fullon_master_api.exchanges.paper.controls import Controls
from fullon_master_api.exchanges.paper.events import MarketEvent, Source
from fullon_master_api.exchanges.paper.faults import Faults
from fullon_master_api.exchanges.paper.generator import GeneratedSource
from fullon_master_api.exchanges.paper.journal import Journal
from fullon_master_api.exchanges.paper.markets import MARKETS, PaperMarket
from fullon_master_api.exchanges.paper.matching import Matching
from fullon_master_api.exchanges.paper.messages import status_text
from fullon_master_api.exchanges.paper.private_commands import PrivateDesk
from fullon_master_api.exchanges.paper.private_rest import PrivateRest
from fullon_master_api.exchanges.paper.public_rest import PublicRest, envelope, refusal
from fullon_master_api.exchanges.paper.sockets import Hub, Session
from fullon_master_api.exchanges.paper.statements import Statements
from fullon_master_api.exchanges.paper.tape import SECOND_NS, Tape, TapeTrade
from fullon_master_api.logs import get_logger
from fullon_master_api.model import Record

OUTBOX_HIGH: Final = 2_000  # a source at full speed rests while a socket has this many messages to send
EVENTS_PER_TURN: Final = 50

log = get_logger(__name__)


class PaperOptions(Record, frozen=True, kw_only=True):
    """Where to listen (port 0: any free one) and where prices come from; several sources feed several markets.

    With a `journal` the orders and fills of accounts outlive a restart; without it each start begins anew.
    """

    host: str = "127.0.0.1"
    port: int = 0
    source: Source | tuple[Source, ...] = GeneratedSource()
    journal: Path | None = None


class PaperExchange:
    """A running paper exchange. `url` is the base of its REST and, with `ws` for `http`, of its sockets."""

    def __init__(self, options: PaperOptions, markets: Sequence[PaperMarket] = ()) -> None:
        """With `markets`, those stand in place of the known ones of their names."""
        self.options = options
        self.tapes = {market.symbol: Tape(market) for market in (*MARKETS, *markets)}
        self.hub = Hub()
        self.faults = Faults(drop=self._drop_sockets, announce=self._announce)
        self.url = ""
        self._connections = count(1)
        self.accounts: dict[str, PaperAccount] = {}
        self.matching = Matching(self.tapes)
        statements = Statements(self.hub)
        self.journal = None if options.journal is None else Journal(options.journal)
        self.matching.listeners += [self.journal.note] if self.journal is not None else []
        self.matching.listeners.append(statements.on_order)
        self._public_rest = PublicRest(self.tapes)
        self._private_rest = PrivateRest(self.accounts, self.matching)
        self._desk = Desk(self.hub, self.tapes, PrivateDesk(self.accounts, self.matching, self.hub, statements))
        for tape in self.tapes.values():
            tape.on_trades, tape.on_book = self._on_trades, self._on_book

    def add_account(self, key: str, secret: str, balances: Mapping[str, Decimal | str]) -> PaperAccount:
        """Open an account; `secret` is base64, `balances` by any of an asset's names, as `{"USD": "100000"}`.

        With a journal `balances` are those of the very first start: what the account did since then comes on top.

        Raises: BadUserInput for a secret that is not base64, or an asset that there is not.
        """
        account = self.accounts[key] = PaperAccount(key, secret, balances)
        if self.journal is not None:
            markets = {symbol: tape.market for symbol, tape in self.tapes.items()}
            for order in self.journal.restore(account, markets):
                self.matching.rest(account, order)
        return account

    def _on_trades(self, tape: Tape, trades: Sequence[TapeTrade]) -> None:
        self.hub.on_trades(tape, trades)
        self.matching.on_trades(tape, trades)

    def _on_book(self, tape: Tape) -> None:
        self.hub.on_book(tape)
        self.matching.on_book(tape)

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/0/public/{name}", self._public)
        app.router.add_post("/0/private/{name}", self._private)
        app.router.add_get("/ws/v2", self._public_socket)
        app.router.add_get("/ws-auth/v2", self._private_socket)
        Controls(self.faults).add_routes(app, self.options.host)
        return app

    async def play(self, source: Source, future: Iterator[MarketEvent]) -> None:
        """Let a source's events happen at their time, or as fast as the sockets take them."""
        if source.waits_for is not None:
            await self.hub.wait_for(("trade", source.waits_for, ""))
        speed = source.speed
        started_s, first_ns = time.monotonic(), None
        for number, event in enumerate(future):
            if speed is not None:
                first_ns = event.at_ns if first_ns is None else first_ns
                ahead_s = (event.at_ns - first_ns) / SECOND_NS / speed - (time.monotonic() - started_s)
                if ahead_s > 0:
                    await asyncio.sleep(ahead_s)
            if number % EVENTS_PER_TURN == 0:
                await asyncio.sleep(0)
                while speed is None and self.hub.pressure() > OUTBOX_HIGH:
                    self.hub.eased.clear()
                    await self.hub.eased.wait()
            self.happen(event)

    def happen(self, event: MarketEvent) -> None:
        """One event of a source: the market's history first, then whoever watches it."""
        tape = self.tapes[event.symbol]
        if event.trades:
            tape.add_trades(event.trades)
        if event.book is not None:
            tape.set_book(event.book, event.at_ns)

    async def _public(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        return await self._answer(lambda: self._public_rest.answer(name, request.query, maintenance=self.faults.maintenance))

    async def _private(self, request: web.Request) -> web.Response:
        body = await request.read()
        return await self._answer(
            lambda: self._private_rest.answer(request.path, request.headers, body, maintenance=self.faults.maintenance)
        )

    async def _answer(self, result: Callable[[], Any]) -> web.Response:
        if self.faults.rest_delay_s:
            await asyncio.sleep(self.faults.rest_delay_s)
        try:
            body = envelope(result())
        except Refusal as error:
            body = refusal(str(error))
        return web.Response(body=body, content_type="application/json")

    async def _public_socket(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, private=False)

    async def _private_socket(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, private=True)

    async def _serve(self, request: web.Request, *, private: bool) -> web.StreamResponse:
        if self.faults.refuse:
            raise web.HTTPServiceUnavailable
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        session = Session(socket, request, self.faults, self.hub.eased, private=private)
        self.hub.sessions.add(session)
        session.send(status_text("maintenance" if self.faults.maintenance else "online", next(self._connections)))
        tasks = [asyncio.create_task(session.write()), asyncio.create_task(session.beat())]
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._desk.answer(session, message.data, maintenance=self.faults.maintenance)
        finally:
            self.hub.forget(session)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return socket

    def _drop_sockets(self) -> int:
        sessions = list(self.hub.sessions)
        for session in sessions:
            session.cut()
        return len(sessions)

    def _announce(self, maintenance: bool) -> None:
        for session in self.hub.sessions:
            session.send(status_text("maintenance" if maintenance else "online", 0))


@asynccontextmanager
async def open_paper(options: PaperOptions | None = None) -> AsyncGenerator[PaperExchange]:
    """A paper exchange that listens until the block ends; its past is there when the block begins.

    Raises: Unavailable when the port is taken; BadUserInput when a recording cannot be read.
    """
    chosen = options or PaperOptions()
    sources = chosen.source if isinstance(chosen.source, tuple) else (chosen.source,)
    opened = [source.open() for source in sources]
    paper = PaperExchange(chosen, [market for one in opened for market in one.markets])
    for event in (event for one in opened for event in one.past):
        paper.happen(event)
    runner = web.AppRunner(paper.application(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, chosen.host, chosen.port).start()
        except OSError as error:
            raise Unavailable(f"cannot listen on {chosen.host}:{chosen.port}: {error.strerror}") from error
        host, port = runner.addresses[0][:2]
        paper.url = f"http://{host}:{port}"
        log.info("paper.opened", url=paper.url)
        async with asyncio.TaskGroup() as tasks:  # A source that fails ends the exchange: it must not live on without prices.
            plays = zip(sources, opened, strict=True)
            players = [tasks.create_task(paper.play(source, one.future), name="paper.play") for source, one in plays]
            try:
                yield paper
            finally:
                for player in players:
                    player.cancel()
    finally:
        paper.faults.drop_sockets()
        with contextlib.suppress(TimeoutError):
            await runner.cleanup()
        if paper.journal is not None:
            paper.journal.close()
        log.info("paper.closed", url=paper.url)
