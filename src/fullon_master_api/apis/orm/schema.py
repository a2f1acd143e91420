"""All tables in one `metadata`."""

from __future__ import annotations

from fullon_master_api.apis.orm import tables_services, tables_trading
from fullon_master_api.apis.orm.tables import metadata

__all__ = ["metadata", "tables_services", "tables_trading"]
