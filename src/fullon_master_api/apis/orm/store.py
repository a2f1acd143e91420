"""Opening the ORM: one object with the callables of every noun."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fullon_master_api.apis.orm import migrate
from fullon_master_api.apis.orm.accounts import Accounts
from fullon_master_api.apis.orm.api_keys import ApiKeys
from fullon_master_api.apis.orm.audit import Audit
from fullon_master_api.apis.orm.balance_history import BalanceHistory
from fullon_master_api.apis.orm.bot_logs import BotLogs
from fullon_master_api.apis.orm.bots import Bots
from fullon_master_api.apis.orm.commands import Commands
from fullon_master_api.apis.orm.database import Database, Hint, open_database
from fullon_master_api.apis.orm.documents import TrustedDocuments
from fullon_master_api.apis.orm.dry_trades import DryTrades
from fullon_master_api.apis.orm.events import Events
from fullon_master_api.apis.orm.exchanges import Exchanges
from fullon_master_api.apis.orm.feeds import Feeds
from fullon_master_api.apis.orm.orders import Orders
from fullon_master_api.apis.orm.services import Services
from fullon_master_api.apis.orm.simulations import Simulations
from fullon_master_api.apis.orm.statistics import Statistics
from fullon_master_api.apis.orm.strategies import Strategies
from fullon_master_api.apis.orm.symbols import Symbols
from fullon_master_api.apis.orm.templates import Templates
from fullon_master_api.apis.orm.trades import Trades
from fullon_master_api.apis.orm.users import Users
from fullon_master_api.apis.orm.vault import Vault
from fullon_master_api.apis.orm.views import Views


class Orm:
    """The callables, by noun. `principal=None` is the platform itself; anyone else sees and changes what is theirs."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self.database = database
        self.users = Users(database)
        self.exchanges = Exchanges(database)
        self.accounts = Accounts(database, vault)
        self.balance_history = BalanceHistory(database)
        self.symbols = Symbols(database)
        self.bots = Bots(database)
        self.logs = BotLogs(database)
        self.simulations = Simulations(database)
        self.templates = Templates(database)
        self.strategies = Strategies(database)
        self.feeds = Feeds(database)
        self.orders = Orders(database)
        self.trades = Trades(database)
        self.dry_trades = DryTrades(database)
        self.statistics = Statistics(database)
        self.views = Views(database, self.statistics)
        self.events = Events(database)
        self.services = Services(database)
        self.commands = Commands(database)
        self.api_keys = ApiKeys(database)
        self.audit = Audit(database)
        self.documents = TrustedDocuments(database)

    async def ping(self) -> None:
        """Raises: StoreUnavailable."""
        await self.database.ping()


@asynccontextmanager
async def open_orm(
    url: str,
    *,
    credentials_key: str | None = None,
    hint: Hint | None = None,
    migrate_up: bool = True,
    pool_size: int = 20,
    max_overflow: int = 10,
    pool_timeout_s: float = 10.0,
    pool_recycle_s: int = 1800,
    pre_ping: bool = True,
) -> AsyncGenerator[Orm, None]:
    """The ORM at a URL (`sqlite+aiosqlite:///file`, `postgresql+asyncpg://…`), its schema brought up to the newest.

    With `migrate_up=False` the schema must be there already. `hint` is told (topic, sequence) after a commit with events.
    Raises: StoreUnavailable; ValueError for a bad `credentials_key`.
    """
    vault = Vault(credentials_key)
    if migrate_up:
        await migrate.upgrade(url)
    else:
        await migrate.check_current(url)
    database = open_database(
        url,
        hint=hint,
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_timeout_s=pool_timeout_s,
        pool_recycle_s=pool_recycle_s,
        pre_ping=pre_ping,
    )
    try:
        yield Orm(database, vault)
    finally:
        await database.aclose()
