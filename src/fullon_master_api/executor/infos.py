"""What resolvers and types are told about the field they answer: graphql-core's info, made only when asked for."""

from __future__ import annotations

from typing import Any

from graphql.execution.executor import default_field_resolver, default_type_resolver
from graphql.execution.values import VariableValues
from strawberry.schema.schema import Schema

from fullon_master_api.executor.core import SteadyExecution
from fullon_master_api.executor.places import Place
from fullon_master_api.executor.plan import Field, Plan


class Infos:
    """The infos of one execution."""

    def __init__(self, schema: Schema, plan: Plan, values: VariableValues, ctx: Any, root: Any) -> None:
        self._schema = schema
        self._plan = plan
        self._values = values
        self._ctx = ctx
        self._root = root
        self._executor: SteadyExecution | None = None

    def executor(self) -> SteadyExecution:
        """graphql-core's executor of the operation, for what only it can make."""
        if self._executor is None:
            plan = self._plan
            self._executor = SteadyExecution(
                self._schema._schema,
                {name: details.definition for name, details in plan.fragments.items()},
                plan.fragments,
                self._root,
                self._ctx,
                plan.operation,
                self._values,
                default_field_resolver,
                default_type_resolver,
                default_field_resolver,
                operation_extensions=None,
            )
        return self._executor

    def of(self, item: Field, place: Place, position: int) -> Any:
        """The info of a field for one value of its column; inside lists it is that of the field, as in graphql-core."""
        path = place.path(position)
        while path is not None and isinstance(path.key, int):
            path = path.prev
        assert path is not None
        return self.executor().build_resolve_info(item.definition, item.nodes, item.parent, path)
