"""The ORM: users, exchanges, symbols, bots, strategies, orders, trades and services in SQL."""

from fullon_master_api.apis.orm.paging import Page
from fullon_master_api.apis.orm.store import Orm, open_orm
from fullon_master_api.apis.orm.vault import Secrets

__all__ = ["Orm", "Page", "Secrets", "open_orm"]
