"""The tables of services, leases, commands, events, trusted documents and the audit trail."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, String, Table, Text

from fullon_master_api.apis.orm.columns import EnumText, Id, JsonText, UtcTime, one_of
from fullon_master_api.apis.orm.tables import created, key, metadata, to
from fullon_master_api.model import DesiredState, FeedHealth, ServiceState


class CommandKind(StrEnum):
    PLACE_ORDER = "place_order"
    CANCEL_ORDER = "cancel_order"


class CommandState(StrEnum):
    PENDING = "pending"
    TAKEN = "taken"
    DONE = "done"
    FAILED = "failed"


services: Final = Table(
    "services",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("desired", EnumText(DesiredState), nullable=False, default=DesiredState.STOPPED),
    Column("generation", Integer, nullable=False, default=0),
    Column("observed_generation", Integer, nullable=False, default=0),
    Column("state", EnumText(ServiceState), nullable=False, default=ServiceState.STOPPED),
    Column("heartbeat_ms", BigInteger),
    Column("started_at", UtcTime),
    Column("restarts", Integer, nullable=False, default=0),
    Column("last_error", Text),
    Column("last_error_at", UtcTime),
    Column("feeds", JsonText(list[FeedHealth]), nullable=False, default=list),
    one_of("desired", DesiredState),
    one_of("state", ServiceState),
)

leases: Final = Table(
    "leases",
    metadata,
    Column("name", String(80), primary_key=True),
    Column("owner", String(120)),
    Column("epoch", Integer, nullable=False, default=0),
    Column("expires_ms", BigInteger, nullable=False, default=0),
)

commands: Final = Table(
    "commands",
    metadata,
    key("command_id"),
    Column("service", String(40), nullable=False),
    Column("kind", EnumText(CommandKind), nullable=False),
    to("exchanges.ex_id", "ex_id", on_delete="CASCADE", index=True),
    to("orders.order_id", "order_id", on_delete="CASCADE", index=True),
    Column("state", EnumText(CommandState), nullable=False, default=CommandState.PENDING),
    Column("epoch", Integer, nullable=False, default=0),
    Column("attempts", Integer, nullable=False, default=0),
    Column("error", Text),
    created(),
    Column("finished_at", UtcTime),
    one_of("kind", CommandKind),
    one_of("state", CommandState),
    Index(None, "service", "state", "command_id"),
    sqlite_autoincrement=True,
)

events: Final = Table(
    "events",
    metadata,
    key("sequence"),
    Column("topic", String(120), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("payload", LargeBinary, nullable=False),
    created(),
    Index(None, "topic", "sequence"),
    Index(None, "created_at"),
    sqlite_autoincrement=True,
)

event_floors: Final = Table(
    "event_floors",
    metadata,
    Column("topic", String(120), primary_key=True),
    Column("sequence", Id, nullable=False),
)

audit: Final = Table(
    "audit",
    metadata,
    key("audit_id"),
    Column("uid", Id, index=True),
    Column("mail", String(80)),
    Column("action", String(60), nullable=False, index=True),
    Column("subject", String(120), nullable=False, index=True),
    Column("detail", JsonText(dict[str, Any]), nullable=False, default=dict),
    created(),
    sqlite_autoincrement=True,
)

trusted_documents: Final = Table(
    "trusted_documents",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("text", Text, nullable=False),
    created(),
)
