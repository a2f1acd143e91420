"""`fullon watch`: tickers of an exchange, live."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, aclosing
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Final

import typer
from rich.live import Live
from rich.table import Table
from rich.text import Text

from fullon_master_api.terminal.server import (
    LOCAL,
    ApiKey,
    Door,
    Lost,
    Mail,
    Password,
    Refusal,
    Token,
    Unreachable,
    Url,
    door_of,
    finish,
    open_server,
)

FRAMES_A_SECOND: Final = 4
STALE_S: Final = 15.0

WATCH: Final = """
subscription($exchange: String!, $symbols: [String!]!, $minInterval: Int!) {
  tickers(exchange: $exchange, symbols: $symbols, minInterval: $minInterval) {
    gap
    tickers { symbol { symbol } bid ask last high low volume change percentage exchangeTime updatedAt sequence }
  }
}
"""
SYMBOLS: Final = "query($exchange: String!) { symbols(exchange: $exchange, first: 500) { nodes { symbol } } }"


def offered_symbols(ctx: typer.Context, incomplete: str) -> list[str]:
    """Symbols that a shell offers: those of the exchange, where the environment says who asks and the server answers."""
    given = ctx.params
    door = Door((given.get("url") or LOCAL).rstrip("/"), *(given.get(name) for name in ("token", "api_key", "mail", "password")))

    async def read() -> list[str]:
        async with open_server(door) as server:
            data = await server.ask(SYMBOLS, exchange=given["exchange"])
        return [node["symbol"] for node in data["symbols"]["nodes"]]

    try:
        return [symbol for symbol in asyncio.run(read()) if symbol.startswith(incomplete)]
    except (Refusal, Unreachable):
        return []  # A shell has no place for an error: it offers nothing.


def watch_command(
    exchange: Annotated[str, typer.Argument(help="Name of the exchange, as kraken.")],
    symbols: Annotated[list[str], typer.Argument(help="Unified names, as BTC/USD.", autocompletion=offered_symbols)],
    url: Url = LOCAL,
    token: Token = None,
    api_key: ApiKey = None,
    mail: Mail = None,
    password: Password = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line for each ticker that changed.")] = False,
    interval_ms: Annotated[int, typer.Option(help="Least milliseconds between two events.", min=0, max=60_000)] = 0,
    count: Annotated[int | None, typer.Option(help="End after this many tickers; never by default.", min=1)] = None,
) -> None:
    """Watch tickers change, through a server's GraphQL API. A connection that breaks is opened again by itself."""
    door = door_of(url, token, api_key, mail, password)
    board = Lines(exchange) if as_json else Board(exchange, symbols, door.url)
    finish(watch(door, exchange, symbols, board, interval_ms=interval_ms, count=count))


async def watch(
    door: Door, exchange: str, symbols: Sequence[str], board: Lines | Board, *, interval_ms: int, count: int | None
) -> None:
    """Show every event on the board until `count` tickers were shown."""
    left = count
    async with open_server(door) as server:
        stream = server.watch(WATCH, exchange=exchange, symbols=list(symbols), minInterval=interval_ms)
        with board:
            async with aclosing(stream) as events:
                async for event in events:
                    if isinstance(event, Lost):
                        board.lost(event)
                        continue
                    known = [ticker for ticker in event["tickers"]["tickers"] if ticker["symbol"]][:left]
                    board.show(known, gap=event["tickers"]["gap"])
                    if left is not None and (left := left - len(known)) <= 0:
                        return


class Lines(AbstractContextManager["Lines", None]):
    """Tickers as lines of JSON on standard output; what else there is to say goes to standard error."""

    def __init__(self, exchange: str) -> None:
        self._exchange = exchange

    def __exit__(self, *_: object) -> None:
        """Every line was written when it came."""

    def show(self, tickers: Sequence[dict[str, Any]], *, gap: bool) -> None:
        for ticker in tickers:
            line = {"exchange": self._exchange} | ticker | {"symbol": ticker["symbol"]["symbol"], "gap": gap}
            sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()

    def lost(self, lost: Lost) -> None:
        typer.echo(f"lost: {lost.reason}; again in {lost.retry_s:.1f} s", err=True)


@dataclass(slots=True)
class Row:
    """The newest ticker of a symbol, how its last price moved, and when it came (`time.monotonic`)."""

    ticker: dict[str, Any]
    moved: int
    arrived_s: float


class Board:
    """A table that is drawn four times a second; without a terminal only its last state is printed."""

    def __init__(self, exchange: str, symbols: Sequence[str], url: str) -> None:
        self._exchange = exchange
        self._symbols = symbols
        self._url = url
        self._rows: dict[str, Row] = {}
        self._state = Text("connecting", style="yellow")
        self._screen = Live(get_renderable=self.table, refresh_per_second=FRAMES_A_SECOND)

    def __enter__(self) -> Board:
        self._screen.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._screen.stop()
        if not self._screen.console.is_terminal:
            self._screen.console.line()

    def show(self, tickers: Sequence[dict[str, Any]], *, gap: bool) -> None:
        self._state = Text(f"live, {self._url}", style="green")
        for ticker in tickers:
            name = ticker["symbol"]["symbol"]
            before = self._rows.get(name)
            moved = movement(before.ticker["last"], ticker["last"]) or before.moved if before else 0
            self._rows[name] = Row(ticker, moved, time.monotonic())

    def lost(self, lost: Lost) -> None:
        self._state = Text(f"lost: {lost.reason}; connecting again", style="red")

    def table(self) -> Table | Text:
        if not self._rows:
            return self._state
        table = Table(title=self._exchange, caption=self._state, expand=False)
        table.add_column("symbol")
        for name in ("bid", "ask", "last", "spread", "24 h %", "volume", "age"):
            table.add_column(name, justify="right")
        for symbol in self._symbols:
            table.add_row(*cells(symbol, self._rows.get(symbol)))
        return table


COLOURS: Final = {-1: "red", 0: "", 1: "green"}


def cells(symbol: str, row: Row | None) -> list[Text]:
    """One line of the table; a price that rose is green, one that fell is red, an old line is dim."""
    if row is None:
        return [Text(symbol), *(Text("-", style="dim") for _ in range(7))]
    ticker, age_s = row.ticker, time.monotonic() - row.arrived_s
    percentage = ticker["percentage"]
    style = "dim" if age_s > STALE_S else ""
    return [
        Text(symbol, style=style),
        Text(ticker["bid"] or "-", style=style),
        Text(ticker["ask"] or "-", style=style),
        Text(ticker["last"] or "-", style=style or COLOURS[row.moved]),
        Text(spread_of(ticker["bid"], ticker["ask"]), style=style),
        Text("-" if percentage is None else f"{percentage:+.2f}", style=style),
        Text("-" if ticker["volume"] is None else f"{Decimal(ticker['volume']):.2f}", style=style),
        Text(f"{age_s:.0f} s{' stale' if style else ''}", style=style),
    ]


def movement(before: str | None, now: str | None) -> int:
    """1 for a price that rose, -1 for one that fell, 0 where it stood still or is not known."""
    if before is None or now is None:
        return 0
    return int(Decimal(now).compare(Decimal(before)))


def spread_of(bid: str | None, ask: str | None) -> str:
    """Ask less bid, in the quote asset."""
    return "-" if bid is None or ask is None else f"{Decimal(ask) - Decimal(bid):f}"
