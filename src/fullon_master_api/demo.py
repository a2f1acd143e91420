"""The demo: a paper exchange, demo users and bots, and the gateway over them, in one process on loopback."""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec

from fullon_master_api.apis.orm import Secrets, open_orm
from fullon_master_api.apis.orm.demo import EXCHANGE, SYMBOLS, install_demo
from fullon_master_api.app import MasterGateway
from fullon_master_api.auth.passwords import open_passwords
from fullon_master_api.exchanges.paper import GeneratedSource, PaperOptions, RecordedSource, open_paper
from fullon_master_api.exchanges.paper.markets import CATALOGUE, MARKETS
from fullon_master_api.settings import Settings

ADMIN_MAIL: Final = "admin@fullon"
TRADER_MAIL: Final = "trader@fullon"
HISTORY_HOURS: Final = 6.0
HISTORY_TRADES_PER_MINUTE: Final = 32.0  # of all markets together, so that many of them do not start slowly
TICKERS_WAIT_S: Final = 10.0
PASSWORD: Final = "password"  # noqa: S105  printed on the screen of every demo, and good on loopback only
BALANCES: Final = {"USD": Decimal(100_000), "USDT": Decimal(100_000), "BTC": Decimal(2), "ETH": Decimal(20)}


class DemoSecrets(msgspec.Struct, frozen=True):
    """What a demo makes up once and keeps in its folder, so that logins outlive a restart."""

    jwt_secret_key: str
    credentials_key: str
    paper_key: str
    paper_secret: str


def demo_secrets(folder: Path) -> DemoSecrets:
    """The secrets of this folder, made on the first start and readable by their owner only."""
    file = folder / "demo-secrets.json"
    if file.exists():
        return msgspec.json.decode(file.read_bytes(), type=DemoSecrets)
    made = DemoSecrets(
        jwt_secret_key=secrets.token_urlsafe(48),
        credentials_key=base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        paper_key=secrets.token_hex(16),
        paper_secret=base64.b64encode(secrets.token_bytes(64)).decode(),
    )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(msgspec.json.encode(made))
    return made


PaperSource = RecordedSource | GeneratedSource


def paper_source(recording: Path | None, *, symbol: str, speed: float, markets: int | None, updates_per_s: float) -> PaperSource:
    """Where the paper exchange's prices come from: a recording of one symbol, else a generator of the first `markets`."""
    if recording is not None:
        return RecordedSource(path=recording, symbol=symbol, speed=speed)
    symbols = tuple(market.symbol for market in CATALOGUE[: markets or len(MARKETS)])
    return GeneratedSource(
        symbols=symbols,
        updates_per_s=updates_per_s,
        history_hours=HISTORY_HOURS,
        history_trades_per_minute=max(0.5, HISTORY_TRADES_PER_MINUTE / len(symbols)),
    )


def demo_symbols(markets: int | None) -> Sequence[dict[str, Any]]:
    """The rows of the demo's symbols: its own few, or with `markets` the first of the paper exchange's."""
    if markets is None:
        return SYMBOLS
    return [
        {
            "symbol": market.symbol,
            "decimals": market.pair_decimals,
            "quantity_decimals": market.lot_decimals,
            "ex_base": market.base.altname,
        }
        for market in CATALOGUE[:markets]
    ]


async def symbols_without_ticker(gateway: MasterGateway, source: PaperSource) -> list[str]:
    """Wait until every active symbol that the source moves has a ticker, with a limit; those that have none then."""
    if "ticker" not in gateway.settings.services_to_auto_start or not gateway.settings.service_auto_start_enabled:
        return []
    moved = {source.symbol} if isinstance(source, RecordedSource) else set(source.symbols)
    active = [symbol.symbol for symbol in await gateway.stores.orm.symbols.active() if symbol.symbol in moved]
    tickers = gateway.stores.cache.tickers
    found = await asyncio.gather(*(tickers.wait_newer(EXCHANGE, symbol, timeout_s=TICKERS_WAIT_S) for symbol in active))
    return [symbol for symbol, ticker in zip(active, found, strict=True) if ticker is None]


@asynccontextmanager
async def open_demo(
    source: PaperSource | None = None, *, port: int, data_dir: Path, markets: int | None = None
) -> AsyncIterator[Settings]:
    """A running paper exchange with the demo's data installed, and the settings of a gateway over them.

    Without `source` its prices are generated. With `markets` so many of its symbols are installed, else the few of the demo.
    """
    made = demo_secrets(data_dir)
    source = source or GeneratedSource(history_hours=HISTORY_HOURS)
    options = PaperOptions(host="127.0.0.1", port=0, source=source, journal=data_dir / "paper.journal")
    async with open_paper(options) as paper:
        paper.add_account(made.paper_key, made.paper_secret, BALANCES)
        settings = Settings(
            host="127.0.0.1",
            port=port,
            data_dir=data_dir,
            jwt_secret_key=made.jwt_secret_key,
            credentials_key=made.credentials_key,
            exchange_urls={"kraken": paper.url},
        )
        open_to_all = {name: "everyone" for name in ("introspection", "graphiql") if name not in settings.model_fields_set}
        settings = settings.model_copy(update=open_to_all)
        await _install(settings, made, demo_symbols(markets))
        yield settings


async def _install(settings: Settings, made: DemoSecrets, symbols: Sequence[dict[str, Any]]) -> None:
    async with open_orm(settings.orm_url, credentials_key=made.credentials_key) as orm, open_passwords() as passwords:
        await install_demo(
            orm,
            password_hash=await passwords.hash(PASSWORD),
            trader_secrets=Secrets(key=made.paper_key, secret=made.paper_secret),
            symbols=symbols,
        )
