"""The collecting services, for admins."""

from __future__ import annotations

from datetime import datetime

import strawberry
from strawberry.scalars import JSON

from fullon_master_api.executor.scalars import BigInt
from fullon_master_api.model import DesiredState, ServiceName, ServiceState
from fullon_master_api.schema.faults import UserError


@strawberry.type(description="How one stream of a service does.")
class FeedHealth:
    feed: str = strawberry.field(description="`exchange:symbol:kind`.")
    messages: int = strawberry.field(description="Messages since the service started.")
    last_message_ns: datetime | None = strawberry.field(name="lastMessageAt", description="When the last one came.")
    lag_ms: float | None = strawberry.field(description="From the exchange's time to ours, in milliseconds.")
    reconnects: int = strawberry.field(description="How often it had to connect again.")
    gaps: int = strawberry.field(description="Gaps that were found.")
    refused: int = strawberry.field(description="Market data that made no sense, and was not kept.")
    error: str | None = strawberry.field(description="What it waits for, null while it works.")


@strawberry.type(description="A collecting service: what is wanted of it and what was seen of it.")
class Service:
    name: ServiceName = strawberry.field(description="Which one.")
    desired: DesiredState = strawberry.field(description="What an admin wants.")
    state: ServiceState = strawberry.field(description="What was seen.")
    generation: BigInt = strawberry.field(description="Rises with every wish.")
    observed_generation: BigInt = strawberry.field(description="The last wish that was acted upon.")
    owner: str | None = strawberry.field(description="The process that runs it.")
    epoch: BigInt = strawberry.field(description="Rises with every change of owner.")
    heartbeat_at: datetime | None = strawberry.field(description="When its owner was last heard of.")
    started_at: datetime | None = strawberry.field(description="When it was last started.")
    restarts: int = strawberry.field(description="How often it was started again after a failure.")
    last_error: str | None = strawberry.field(description="Why it last failed.")
    last_error_at: datetime | None = strawberry.field(description="When it last failed.")
    feeds: list[FeedHealth] = strawberry.field(description="Its streams.")


@strawberry.type(description="A running part of the platform that reports its heartbeat.")
class Process:
    process_id: strawberry.ID = strawberry.field(name="id", description="`type:component:started`.")
    process_type: str = strawberry.field(name="type", description="Kind of the part, as `tick`.")
    component: str = strawberry.field(description="Which one, as `kraken:BTC/USD`.")
    status: str = strawberry.field(description="starting, running, processing, idle, error or stopped.")
    message: str | None = strawberry.field(description="What it last said.")
    created_at: datetime = strawberry.field(description="When it began.")
    heartbeat_at: datetime = strawberry.field(description="When it was last heard of.")


@strawberry.type(description="A change of a service.")
class ServiceEvent:
    cursor: str | None = strawberry.field(description="Place of the event in the stream.")
    service: Service = strawberry.field(description="The service as it stood then.")


@strawberry.input(description="The service to start, stop or restart.")
class ServiceInput:
    name: ServiceName = strawberry.field(description="Which one.")


@strawberry.type(description="The service after the wish was acted upon, or as it stands when waiting took too long.")
class ServicePayload:
    service: Service | None = strawberry.field(description="The service.")
    user_errors: list[UserError] = strawberry.field(description="What was wrong with the input; empty when all was well.")


@strawberry.type(description="Who did what to what: written together with the change itself.")
class AuditEntry:
    audit_id: strawberry.ID = strawberry.field(name="id", description="Number of the entry; it rises.")
    uid: int | None = strawberry.field(name="userId", description="Who did it; null for the platform itself.")
    mail: str | None = strawberry.field(description="Their mail at that time.")
    action: str = strawberry.field(description="What was done, as `user.add`.")
    subject: str = strawberry.field(description="To what, as `user:7`.")
    detail: JSON = strawberry.field(description="What is worth knowing of it; never a secret.")
    created_at: datetime = strawberry.field(description="When it was done.")
