"""A platform with one trader's account on the paper exchange, for the tests of the account service."""

from __future__ import annotations

import base64
import time
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path

from fullon_master_api.apis.orm import Secrets
from fullon_master_api.exchanges.paper import GeneratedSource, PaperExchange, PaperOptions, open_paper
from fullon_master_api.model import (
    ExchangeAccount,
    Order,
    OrderStatus,
    ServiceName,
    Ticker,
)
from fullon_master_api.services.account import AccountService
from fullon_master_api.services.board import FeedBoard
from fullon_master_api.services.resources import Resources
from tests.services.stage import list_symbols, open_platform, running, until

KEY, SECRET = "paper-key", base64.b64encode(b"s" * 64).decode()
SYMBOL = "BTC/USD"
VAULT = base64.urlsafe_b64encode(b"k" * 32).decode()


@dataclass
class Stage:
    resources: Resources
    paper: PaperExchange
    account: ExchangeAccount

    async def place(self, **values: object) -> Order:
        given = {"ex_id": self.account.ex_id, "uid": self.account.uid, "symbol": SYMBOL, "dry_run": False}
        return await self.resources.orm.orders.place(None, given | values)

    async def order(self, order_id: int) -> Order:
        found = (await self.resources.orm.orders.get_many([order_id], None))[0]
        assert found is not None
        return found

    async def comes_to(self, order: Order, *statuses: OrderStatus) -> Order:
        async def there() -> Order | None:
            now = await self.order(order.order_id)
            return now if now.status in statuses else None

        found = await until(there)
        assert found is not None
        return found

    async def tick(self, bid: str, ask: str) -> None:
        ticker = Ticker(exchange="kraken", symbol=SYMBOL, bid=bid, ask=ask, last=bid, received_ns=time.time_ns())
        await self.resources.cache.tickers.set(ticker)

    @property
    def price(self) -> Decimal:
        """The paper exchange's last price."""
        last = self.paper.tapes[SYMBOL].last
        assert last is not None
        return Decimal(last.price)

    async def synced(self) -> bool:
        """The account's balances were read."""
        return bool((await self.resources.cache.accounts.get_balances([self.account.ex_id]))[0])

    def serving(self) -> AbstractAsyncContextManager[FeedBoard]:
        return running(self.resources, ServiceName.ACCOUNT, partial(AccountService, self.resources))


@asynccontextmanager
async def staged(
    folder: Path, *, credentials: bool = True, secret: str = SECRET, ccxt_timeout: float = 10.0
) -> AsyncGenerator[Stage, None]:
    source = GeneratedSource(symbols=(SYMBOL,), history_hours=0.05, updates_per_s=20.0)
    async with open_paper(PaperOptions(source=source)) as paper:
        paper.add_account(KEY, SECRET, {"USD": "100000", "BTC": "2"})
        async with open_platform(
            folder,
            exchange_urls={"kraken": paper.url},
            account_reconnect_delay=0.5,
            account_poll_interval=0.5,
            credentials_key=VAULT,
            ccxt_timeout=ccxt_timeout,
        ) as resources:
            await list_symbols(resources, [SYMBOL])
            exchange = (await resources.orm.exchanges.by_names(["kraken"]))[0]
            assert exchange is not None
            user = await resources.orm.users.add(None, {"mail": "trader@fullon", "name": "T"}, password_hash="x")
            account = await resources.orm.accounts.add(
                None,
                {"uid": user.uid, "cat_ex_id": exchange.cat_ex_id, "name": "main"},
                secrets=Secrets(key=KEY, secret=secret) if credentials else None,
            )
            yield Stage(resources, paper, account)
