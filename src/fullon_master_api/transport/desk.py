"""What every face of the transport works with: the engine, the hub, who asks, and what they may ask."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from graphql import GraphQLError

from fullon_master_api.auth.rates import Caller, Rates
from fullon_master_api.executor.answers import Answer, DocumentError, refusal
from fullon_master_api.executor.engine import Engine, Prepared
from fullon_master_api.model import Principal
from fullon_master_api.settings import Audience, Settings
from fullon_master_api.transport.hub import Hub, MakeContext
from fullon_master_api.transport.persisted import PersistedDocuments
from fullon_master_api.transport.protocols import Operation

Authenticate = Callable[[Mapping[str, str]], Awaitable[Principal | None]]
"""Who these lower-case headers belong to; None for nobody. Raises Unauthenticated for a credential that does not hold."""

SUGGESTION: Final = re.compile(r" Did you mean [^?]*\?")


@dataclass(frozen=True, slots=True)
class Desk:
    """One for the process."""

    engine: Engine
    hub: Hub
    authenticate: Authenticate
    make_context: MakeContext
    settings: Settings
    documents: PersistedDocuments
    rates: Rates

    def find(self, operation: Operation, principal: Principal | None) -> Prepared | None:
        """The operation, where it is known and needs no other look before it is run."""
        if operation.document_id is not None or self.documents.trusted_only:
            return None
        prepared = self.engine.find(operation.query, operation.operation_name)
        if prepared is not None and prepared.schema_fields and not self.may_introspect(principal):
            return None
        return prepared

    async def prepare(self, operation: Operation, principal: Principal | None, caller: Caller) -> Prepared:
        """The operation, ready to run, if this caller may ask it; DocumentError says why not.

        Raises RateLimited where too many new ones wait to be read.
        """
        if operation.document_id is not None or self.documents.trusted_only:
            operation = await self.documents.read(operation, principal)
        shown = self.may_introspect(principal)
        try:
            prepared = await self.engine.prepare_in_turn(operation.query, operation.operation_name, caller)
        except DocumentError as error:
            if shown:
                raise
            raise DocumentError([_without_suggestion(each) for each in error.errors]) from None
        if shown:
            return prepared
        allowed = self.engine.without_schema(prepared)
        if allowed is None:
            told = f"this server shows its schema to {self.settings.introspection} only"
            raise DocumentError([refusal("FORBIDDEN", told, prepared.operation)])
        return allowed

    def with_cost(
        self, answer: Answer, prepared: Prepared, operation: Operation, caller: Caller, *, asked: bool = False
    ) -> Answer:
        """The answer, with `extensions.cost` where the client asked for it."""
        if not asked and operation.extensions.get("cost") is not True:
            return answer
        cost: dict[str, object] = {
            "requested": prepared.cost.measure(operation.variables),
            "max": self.engine.limits.cost_max,
        }
        left = self.rates.left(caller)
        if left is not None:
            cost["requests"] = {"left": left[0], "perMinute": left[1]}
        return answer.extended({"cost": cost})

    def may_introspect(self, principal: Principal | None) -> bool:
        """Whether the schema is shown to this caller."""
        return is_among(self.settings.introspection, principal)


def is_among(audience: Audience, principal: Principal | None) -> bool:
    """Whether this caller is one of those whom something is shown to."""
    if audience == "everyone" or principal is None:
        return audience == "everyone"
    return audience == "users" or (audience == "admins" and principal.is_admin)


def _without_suggestion(error: GraphQLError) -> GraphQLError:
    """The same error without graphql-core's "Did you mean", which names what the schema has."""
    told = SUGGESTION.sub("", error.message)
    if told == error.message:
        return error
    return GraphQLError(told, error.nodes, error.source, error.positions, error.path, error.original_error, error.extensions)
