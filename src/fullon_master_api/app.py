"""The composition root: opens the stores, wires the rooms, mounts the faces."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import Final

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import Response
from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.types import ASGIApp

from fullon_master_api.apis.cache import open_cache
from fullon_master_api.apis.ohlcv import open_ohlcv
from fullon_master_api.apis.orm import open_orm
from fullon_master_api.apis.orm.database import Hint
from fullon_master_api.apis.orm.paging import FIRST_MAX
from fullon_master_api.auth.issuers import ExternalIssuer
from fullon_master_api.auth.jwt import Signer
from fullon_master_api.auth.passwords import open_passwords
from fullon_master_api.auth.rates import Rates
from fullon_master_api.auth.sessions import Sessions
from fullon_master_api.auth.throttle import LoginThrottle
from fullon_master_api.bus import DISCONNECTS_TOPIC, Bus, open_bus
from fullon_master_api.bus.connection import RedisOptions
from fullon_master_api.errors import Forbidden, Unauthenticated
from fullon_master_api.executor.engine import Engine, Limits
from fullon_master_api.logs import configure_bare_logs, get_logger
from fullon_master_api.model import Bot, Disconnect, ExchangeAccount, Principal, Record, Role, ServiceName
from fullon_master_api.resolvers.context import Context, Stores
from fullon_master_api.rest import cache as rest_cache
from fullon_master_api.rest.auth import auth_router
from fullon_master_api.rest.edge import Edge, Sockets
from fullon_master_api.rest.faults import ANSWERS, install_faults
from fullon_master_api.rest.health import health_router
from fullon_master_api.rest.metrics import metrics_router
from fullon_master_api.rest.ohlcv import FullonOhlcvGateway
from fullon_master_api.rest.orm import get_all_routers
from fullon_master_api.rest.probes import probe_router
from fullon_master_api.rest.root import root_router
from fullon_master_api.rest.services import services_router
from fullon_master_api.schema import build_schema
from fullon_master_api.services.health_views import HealthDesk
from fullon_master_api.services.readiness import Readiness, check_readiness
from fullon_master_api.services.resources import Resources, exchange_opener
from fullon_master_api.services.supervisor import Supervisor
from fullon_master_api.services.wiring import build_manager, build_supervisor
from fullon_master_api.settings import Settings
from fullon_master_api.tracing import is_recording, record_as_set_up
from fullon_master_api.transport.desk import is_among
from fullon_master_api.transport.direct import DirectGraphql
from fullon_master_api.transport.figures import HubCollector
from fullon_master_api.transport.headers import CallerTraces, SecureHeaders
from fullon_master_api.transport.hub import Hub
from fullon_master_api.transport.routes import GraphqlRoutes, graphql_routes
from fullon_master_api.web.pages import graphiql_door_page, graphiql_page, mount_pages, own_documents

log = get_logger(__name__)

GRAPHQL_PATH: Final = "/graphql"
COLLECT_AFTER: Final = (1_000, 1, 3_000)
"""New objects after which the youngest are looked through for cycles, and how often that before the older ones, and the oldest.

Python's own are 700 (2,000 from 3.13 on), 10 and 10. Few young objects make each pause short. The oldest are mostly what
documents are kept as: a look through them holds the loop for up to 19 ms and finds nothing, since neither requests nor sockets
nor new documents leave what holds itself (`tests/transport/test_leaks.py`, `tests/executor/test_validation.py`).
"""


class MasterGateway:
    """Everything of one process, opened: `app` answers, `supervisor` collects, `hub` tells. Routes can be added to `api`."""

    def __init__(
        self, settings: Settings, stores: Stores, resources: Resources, hub: Hub, engine: Engine, supervisor: Supervisor
    ) -> None:
        self.settings = settings
        self.stores = stores
        self.hub = hub
        self.supervisor = supervisor
        self.resources = resources
        self.engine = engine
        traced = is_recording()
        self.api = FastAPI(
            title=settings.api_title,
            version=settings.api_version,
            description=settings.api_description,
            docs_url=None,
            redoc_url=None,
            telemetry={"tracing": traced, "metrics": traced, "logs": traced},  # Else it looks for a provider at each request.
        )
        self.app = self._build_app(self.api)

    async def run_services(self) -> None:
        """Run the services whose lease this process wins, until `stop`; those named in the settings start by themselves."""
        if self.settings.service_auto_start_enabled:
            names = [ServiceName(name) for name in self.settings.services_to_auto_start]
            if self.settings.health_monitor_enabled:
                names.append(ServiceName.HEALTH_MONITOR)
            await self.stores.services.auto_start(names)
        await self.supervisor.run()

    async def readiness(self) -> Readiness:
        """Whether this process can do its work."""
        return await check_readiness(self.resources, self.stores.services)

    def stop(self) -> None:
        """Tell every socket that the server goes away, and the supervisor to stop its services and release its leases."""
        self.hub.drain()
        self.supervisor.stop()

    async def _authenticate(self, headers: Mapping[str, str]) -> Principal | None:
        key = headers.get(self.settings.api_key_header_name.lower())
        return await self.stores.sessions.authenticate(headers.get("authorization"), key)

    def _context(self, principal: Principal | None, request_id: str, address: str) -> Context:
        return Context(self.stores, principal, request_id, address)

    async def _page(self, request: Request, visitor: Principal | None) -> Response:
        """GraphiQL for whom the settings name; a login for who may still turn out to be one of them."""
        audience, root_path = self.settings.graphiql, request.scope.get("root_path", "")
        if is_among(audience, visitor):
            return graphiql_page(graphql_path=GRAPHQL_PATH, root_path=root_path)
        if visitor is not None:
            raise Forbidden(f"GraphiQL is for {audience} only")
        return graphiql_door_page(graphql_path=GRAPHQL_PATH, root_path=root_path)

    def _build_app(self, app: FastAPI) -> ASGIApp:
        """All faces on FastAPI, and GraphQL's short way before it."""
        settings, stores = self.settings, self.stores
        app.state.stores = stores
        app.state.authenticate = stores.sessions.principal_of_token
        install_faults(app)
        rates = Rates.from_settings(settings)
        graphql = self._graphql_routes(rates)
        app.include_router(graphql)
        direct = partial(DirectGraphql, routes=graphql, hsts_max_age_s=settings.hsts_max_age_s)
        wrapped = bool(settings.cors_origins) or is_recording()
        if wrapped:  # Origins and traces are told by middleware, of FastAPI's too, so the short way begins behind it.
            app.add_middleware(direct)
        app.include_router(root_router(settings))
        app.include_router(probe_router(self.readiness))
        app.include_router(health_router(HealthDesk(self.resources, stores.services, self.hub.get_depths)))
        prefix = settings.api_prefix
        registry = CollectorRegistry()
        registry.register(HubCollector(self.hub))
        app.include_router(metrics_router(registry))
        app.include_router(auth_router(stores.sessions), prefix=prefix, responses=ANSWERS)
        app.include_router(services_router(stores.services), prefix=prefix, responses=ANSWERS)
        for router in get_all_routers():
            app.include_router(router, prefix=f"{prefix}/orm")
        for router in FullonOhlcvGateway().get_routers():
            app.include_router(router, prefix=f"{prefix}/ohlcv")
        app.mount(f"{prefix}/cache", rest_cache.create_app(self._cache_desk))
        mount_pages(app)
        self._add_edges(app, rates)
        return app if wrapped else direct(app)

    def _add_edges(self, app: FastAPI, rates: Rates) -> None:
        """What every request passes, the last one first."""
        settings = self.settings
        app.add_middleware(
            Edge,
            authenticate=self.stores.sessions.authenticate,
            api_key_header=settings.api_key_header_name,
            body_bytes_max=settings.body_bytes_max,
            foreign_path=GRAPHQL_PATH,
            rates=rates,
            limited_prefix=settings.api_prefix,
            sockets=self._sockets(),
        )
        app.add_middleware(SecureHeaders, hsts_max_age_s=settings.hsts_max_age_s)
        if settings.cors_origins:
            app.add_middleware(
                CORSMiddleware,
                allow_origins=settings.cors_origins,
                allow_credentials=settings.cors_allow_credentials,
                allow_methods=settings.cors_allow_methods,
                allow_headers=settings.cors_allow_headers,
            )
        if is_recording():
            app.add_middleware(CallerTraces)

    def _sockets(self) -> Sockets:
        settings = self.settings
        return Sockets(
            admit=partial(
                self.hub.admit, most=settings.socket_connections_max, most_of_one=settings.socket_connections_per_address_max
            ),
            dismiss=self.hub.dismiss,
            users=self.hub.users,
            of_user_max=settings.socket_connections_per_user_max,
            origins=settings.cors_origins,
        )

    def _graphql_routes(self, rates: Rates) -> GraphqlRoutes:
        page = self._page if self.settings.graphiql != "nobody" else None
        return graphql_routes(
            self.engine,
            self.hub,
            self._authenticate,
            self._context,
            self.settings,
            path=GRAPHQL_PATH,
            page=page,
            find_document=self.stores.orm.documents.text_of,
            own_documents=own_documents(),
            rates=rates,
        )

    def _cache_desk(self) -> rest_cache.Desk:
        stores = self.stores
        orm = stores.orm

        async def accounts_of(principal: Principal) -> Sequence[ExchangeAccount]:
            return (await orm.accounts.of_users([principal.uid], principal))[0]

        async def bots_of(principal: Principal) -> Sequence[Bot]:
            return (await orm.bots.of_users([principal.uid], principal, first=FIRST_MAX))[0].rows

        return rest_cache.Desk(
            cache=stores.cache,
            bus=stores.bus,
            authenticate=stores.sessions.authenticate,
            get_accounts=accounts_of,
            get_bots=bots_of,
            get_symbols=orm.symbols.active,
            api_key_header=self.settings.api_key_header_name,
        )


@contextmanager
def lasting_objects() -> Iterator[None]:
    """For a process that serves: what is there now stays, so Python's collector need not look through it, and seldom at the rest.

    A look through all of the schema and the libraries stops everything for a tenth of a second and finds nothing: a flood of new
    documents brought one each two seconds.
    """
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


@asynccontextmanager
async def open_gateway(settings: Settings) -> AsyncIterator[MasterGateway]:
    """Open everything in its order and close it in the opposite one. Raises what keeps a store from being opened."""
    configure_bare_logs()
    record_as_set_up()
    async with AsyncExitStack() as stack:
        redis = RedisOptions(
            max_connections=settings.redis_max_connections,
            timeout_s=settings.redis_socket_timeout,
            connect_timeout_s=settings.redis_socket_connect_timeout,
        )
        bus = await stack.enter_async_context(open_bus(settings.bus_url, prefix=settings.cache_key_prefix, options=redis))
        orm = await stack.enter_async_context(
            open_orm(
                settings.orm_url,
                credentials_key=settings.credentials_key.get_secret_value() if settings.credentials_key else None,
                hint=hint_on(bus),
                pool_size=settings.db_pool_size,
                max_overflow=settings.db_pool_max_overflow,
                pool_timeout_s=settings.db_pool_timeout,
                pool_recycle_s=settings.db_pool_recycle,
                pre_ping=settings.db_pool_pre_ping,
            )
        )
        bus.attach_history(orm.events)
        ohlcv = await stack.enter_async_context(
            open_ohlcv(settings.ohlcv_url, pool_size=settings.db_pool_size, timeout_s=settings.db_pool_timeout)
        )
        cache = await stack.enter_async_context(open_cache(bus, settings.bus_url, options=redis))
        passwords = await stack.enter_async_context(open_passwords())
        sessions = Sessions(
            orm,
            Signer.from_settings(settings),
            passwords,
            LoginThrottle(attempts_max=settings.login_attempts_max, window_s=settings.login_window_s),
            refresh_days=settings.refresh_expiration_days,
            api_keys=settings.enable_api_key_auth,
            external=ExternalIssuer.from_settings(settings),
        )
        resources = Resources(
            orm=orm, ohlcv=ohlcv, cache=cache, bus=bus, settings=settings, open_exchange=exchange_opener(settings)
        )
        manager = build_manager(resources)
        stores = Stores(orm=orm, ohlcv=ohlcv, cache=cache, bus=bus, sessions=sessions, services=manager)
        supervisor = build_supervisor(resources)
        limits = Limits(
            bytes_max=settings.document_bytes_max,
            tokens_max=settings.document_tokens_max,
            depth_max=settings.document_depth_max,
            directives_max=settings.document_directives_max,
            cost_max=settings.document_cost_max,
            timeout_s=settings.operation_timeout_s,
            slow_s=settings.slow_operation_s,
        )
        engine = Engine(build_schema(federated=settings.federation_enabled), limits)
        stack.callback(engine.close)
        hub = await stack.enter_async_context(Hub(bus, engine, partial(Context, stores)))
        stack.enter_context(bus.listen(DISCONNECTS_TOPIC, lambda _topic, told: close_sockets(hub, told)))
        await make_admin(stores, settings.admin_mail)
        yield MasterGateway(settings, stores, resources, hub, engine, supervisor)


def hint_on(bus: Bus) -> Hint:
    """What the outbox calls after a commit: wake the readers of the topic."""

    async def hint(topic: str, sequence: int) -> None:
        bus.hint(topic, sequence)  # Never waits: a bus that hangs must not hold up a commit.

    return hint


def close_sockets(hub: Hub, told: Record) -> None:
    """End the sockets of the user whom an admin wants gone."""
    if isinstance(told, Disconnect):
        count = hub.disconnect_user(told.uid, Unauthenticated("an admin closed this connection: log in again"))
        log.info("user.disconnected", uid=told.uid, by=told.by, sockets=count)


async def make_admin(stores: Stores, mail: str) -> None:
    """Give the user of `ADMIN_MAIL`, spelled exactly, the role of an admin: the first one must come from somewhere."""
    user = (await stores.orm.users.by_mails([mail], None))[0]
    if user is not None and user.role is not Role.ADMIN:
        await stores.orm.users.modify(user.uid, None, {"role": Role.ADMIN})
        log.info("admin.made", uid=user.uid)
