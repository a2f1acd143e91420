"""Plans: what an operation asks, level by level, worked out once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from inspect import iscoroutinefunction, signature
from typing import Any, Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLField,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    get_argument_values,
    get_named_type,
    is_abstract_type,
    is_leaf_type,
    is_non_null_type,
)
from graphql.execution.collect_fields import FieldDetails, FragmentDetails, collect_fields, collect_subfields
from graphql.execution.values import VariableValues
from strawberry.schema.schema import Schema
from strawberry.types.arguments import convert_arguments
from strawberry.types.field import StrawberryField

from fullon_master_api.errors import GatewayError
from fullon_master_api.executor.fields import HANDED_ON, WANTED, RowsOf, answered
from fullon_master_api.executor.fragments import Shape
from fullon_master_api.executor.leaves import Leaf, leaf_of
from fullon_master_api.executor.limits import STRAWBERRY
from fullon_master_api.executor.walks import selections_of, variables_of
from fullon_master_api.model import Wanted

VARIANTS_MAX: Final = 64
CONDITIONS: Final = frozenset({"skip", "include", "defer", "stream"})
"""Directives that a plan knows; without incremental delivery @defer and @stream change nothing of an answer."""


class Unsupported(Exception):
    """The operation has something that only graphql-core knows; the text says what."""


class Kind(Enum):
    """How a field gets its values."""

    TYPENAME = "typename"  # constant
    ATTRIBUTE = "attribute"  # getattr
    BATCHED = "batched"  # one call for all rows
    ROOTED = "rooted"  # one call without rows
    CALL = "call"  # the function of a plain Strawberry field, once per row
    EVENT = "event"  # the root field of a subscription: the event itself
    RESOLVE = "resolve"  # whatever graphql-core would call, once per row


@dataclass(frozen=True, slots=True)
class Way:
    """How one field of one type is answered, whatever operation asks."""

    kind: Kind
    attribute: str = ""
    function: Callable[..., Any] | None = None
    source_name: str | None = None
    wants: bool = False
    """Whether the resolver is told which attributes of its rows will be read."""
    reads: frozenset[str] | None = None
    """What it reads of its parents; None where that is not known."""
    handed_on: bool = False
    """Whether its rows are those that its parent's resolver was asked for."""


@dataclass(slots=True, eq=False)
class Field:
    """One field of a level, under one response key, with all its nodes merged."""

    key: str
    parent: GraphQLObjectType
    definition: GraphQLField
    details: list[FieldDetails]
    way: Way
    named: GraphQLNamedType
    leaf: Leaf | None
    inline: bool
    """A leaf read from an attribute, or a constant: it needs no column of its own."""
    arguments: Mapping[str, Any] | None
    """Arguments that no variable is part of, as the resolver takes them; None when they are coerced at each run."""
    told: Mapping[str, Any] = field(default_factory=dict)
    """What its resolver is told beside the arguments."""
    waits: bool = True
    """Whether its column may have to wait for something; if not, it needs no task beside its siblings."""
    ending: Level | None = None
    """Its level, where its value is one row of a type known beforehand, of which attributes alone are asked."""
    levels: dict[str, Level] = field(default_factory=dict)
    """Level by concrete type; those of an abstract type are made when a value of that type is first met."""

    @property
    def nodes(self) -> list[FieldNode]:
        return [detail.node for detail in self.details]

    @property
    def type(self) -> GraphQLOutputType:
        return self.definition.type


@dataclass(slots=True, eq=False)
class Level:
    """The fields selected on rows of one concrete type at one place of the answer, in the order of the answer."""

    type: GraphQLObjectType
    fields: list[Field]
    runs: int = 0
    build: Callable[..., None] | None = None
    """Generated once the level has shown to be worth it (`emission.py`)."""
    keys: tuple[str, ...] = ()
    pending: tuple[int, ...] = ()
    """Positions of the fields that need a column."""
    shape: Shape | None = None
    """What its JSON depends on beside the rows; None where it depends on resolvers too."""

    def __post_init__(self) -> None:
        self.keys = tuple(item.key for item in self.fields)
        self.pending = tuple(position for position, item in enumerate(self.fields) if not item.inline)
        if not self.pending:
            self.shape = (self.type.name, tuple((item.key, item.details[0].node.name.value) for item in self.fields))


@dataclass(slots=True, eq=False)
class Plan:
    """An operation for one set of skip and include conditions."""

    operation: OperationDefinitionNode
    fragments: dict[str, FragmentDetails]
    making: _Making
    root: Level
    serial: bool

    def level(self, item: Field, concrete: GraphQLObjectType) -> Level:
        """What the field selects on values of a concrete type."""
        return self.making.level_of(concrete, item.levels, item.details)

    def levels(self, item: Field) -> list[Level]:
        """What the field selects on each type that its values may have."""
        if item.leaf is not None:
            return []
        return [self.level(item, concrete) for concrete in self.making.planner.possible(item.named)]


class Planner:
    """Makes plans for one schema, and remembers how its fields are answered."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._core: GraphQLSchema = schema._schema
        self._plain_attributes = schema.config.default_resolver is getattr
        self._extended = bool(schema.get_extensions())
        self._handled = bool(schema.exception_handlers)
        self._ways: dict[tuple[str, str], Way] = {}
        self._leaves: dict[str, Leaf] = {}

    def conditions(self, document: DocumentNode, operation: OperationDefinitionNode) -> tuple[str, ...]:
        """Names of the variables that decide what is skipped or included; Unsupported when only graphql-core can run it."""
        if self._extended:
            raise Unsupported("the schema has extensions")
        if operation.directives:
            raise Unsupported("a directive on the operation")
        fragments = (node for node in document.definitions if isinstance(node, FragmentDefinitionNode))
        if any(node.variable_definitions for node in fragments):
            raise Unsupported("a fragment with variables")
        names: set[str] = set()
        for node in selections_of(document):
            for directive in node.directives or ():
                if directive.name.value not in CONDITIONS:
                    raise Unsupported(f"the directive @{directive.name.value}")
                names.update(variables_of(directive.arguments or ()))
            if isinstance(node, FieldNode) and node.name.value in ("__schema", "__type"):
                raise Unsupported("introspection")
        return tuple(sorted(names))

    def plan(self, document: DocumentNode, operation: OperationDefinitionNode, values: VariableValues) -> Plan:
        """The plan of an operation for the conditions in these variables."""
        definitions = (node for node in document.definitions if isinstance(node, FragmentDefinitionNode))
        fragments = {node.name.value: FragmentDetails(node) for node in definitions}
        root_type = self._core.get_root_type(operation.operation)
        assert root_type is not None
        grouped = collect_fields(self._core, fragments, values, root_type, operation).grouped_field_set
        making = _Making(self, fragments, operation, values)
        root = making.level(root_type, grouped)
        return Plan(operation, fragments, making, root, operation.operation is OperationType.MUTATION)

    def way(self, parent: GraphQLObjectType, name: str, definition: GraphQLField) -> Way:
        """How the field is answered."""
        key = (parent.name, name)
        way = self._ways.get(key)
        if way is None:
            way = self._ways[key] = Way(Kind.TYPENAME) if name == "__typename" else self._find_way(definition)
        return way

    def leaf(self, named: GraphQLNamedType) -> Leaf | None:
        """How values of a leaf type leave; None for types with fields."""
        if not is_leaf_type(named):
            return None
        leaf = self._leaves.get(named.name)
        if leaf is None:
            leaf = self._leaves[named.name] = leaf_of(named)
        return leaf

    def possible(self, named: GraphQLNamedType) -> list[GraphQLObjectType]:
        """The object types that values of a type with fields may have."""
        if is_abstract_type(named):
            return list(self._core.get_possible_types(named))
        assert isinstance(named, GraphQLObjectType)
        return [named]

    def convert(self, definition: GraphQLField, given: dict[str, Any]) -> dict[str, Any]:
        """Coerced GraphQL arguments as the resolver's keyword arguments, as Strawberry converts them."""
        converter = self._schema.schema_converter
        return convert_arguments(
            given,
            definition.extensions[STRAWBERRY].arguments,
            scalar_registry=converter.scalar_registry,
            config=converter.config,
        )

    def _find_way(self, definition: GraphQLField) -> Way:
        declared = definition.extensions.get(STRAWBERRY)
        if definition.subscribe is not None:
            return Way(Kind.EVENT)
        if not isinstance(declared, StrawberryField) or declared.extensions or self._handled:
            return Way(Kind.RESOLVE)
        record, handed_on = answered(declared), HANDED_ON in declared.metadata
        if record is not None:
            return Way(
                Kind.ROOTED if record.rooted else Kind.BATCHED,
                function=record.resolver,
                wants=WANTED in signature(record.resolver).parameters,
                reads=getattr(record.resolver, "reads", None),
                handed_on=handed_on,
            )
        if type(declared).get_result is not StrawberryField.get_result:
            return Way(Kind.RESOLVE)
        resolver = declared.base_resolver
        if resolver is None:
            if not self._plain_attributes:
                return Way(Kind.RESOLVE)
            return Way(Kind.ATTRIBUTE, attribute=declared.python_name, handed_on=handed_on)
        function = resolver.wrapped_func
        if resolver.info_parameter or resolver.is_async or not callable(function) or iscoroutinefunction(function):
            return Way(Kind.RESOLVE)
        named = resolver.parent_parameter or resolver.root_parameter
        if resolver.self_parameter and named:
            return Way(Kind.RESOLVE)
        return Way(
            Kind.CALL,
            function=function,
            attribute="self" if resolver.self_parameter else "",
            source_name=named.name if named else None,
        )


@dataclass(frozen=True, slots=True)
class _Making:
    """A plan being made."""

    planner: Planner
    fragments: dict[str, FragmentDetails]
    operation: OperationDefinitionNode
    values: VariableValues

    def level(self, type_: GraphQLObjectType, grouped: Mapping[str, list[FieldDetails]]) -> Level:
        fields = []
        for key, details in grouped.items():
            definition = self.planner._core.get_field(type_, details[0].node.name.value)
            # graphql-core leaves out a field that its type does not have; validation has refused it.
            if definition is not None:
                fields.append(self.field(key, type_, definition, details))
        return Level(type_, fields)

    def level_of(self, type_: GraphQLObjectType, levels: dict[str, Level], details: list[FieldDetails]) -> Level:
        """What a field selects on values of a concrete type, of its levels so far."""
        level = levels.get(type_.name)
        if level is None:
            level = levels[type_.name] = self.sublevel(type_, details)
        return level

    def wanted_of(self, levels: dict[str, Level], details: list[FieldDetails], name: str) -> Wanted | None:
        """The attributes that are read of rows of the object type of that name; None where it could be any."""
        return _wanted(self.level_of(self.planner._core.type_map[name], levels, details))  # type: ignore[arg-type]

    def sublevel(self, type_: GraphQLObjectType, details: list[FieldDetails]) -> Level:
        core = self.planner._core
        collected = collect_subfields(core, self.fragments, self.values, self.operation, type_, details)
        return self.level(type_, collected.grouped_field_set)

    def field(self, key: str, parent: GraphQLObjectType, definition: GraphQLField, details: list[FieldDetails]) -> Field:
        node = details[0].node
        way = self.planner.way(parent, node.name.value, definition)
        named = get_named_type(definition.type)
        leaf = self.planner.leaf(named)
        single = definition.type.of_type if is_non_null_type(definition.type) else definition.type
        inline = way.kind is Kind.TYPENAME or (
            way.kind is Kind.ATTRIBUTE and leaf is not None and single is named and way.attribute.isidentifier()
        )
        made = Field(key, parent, definition, details, way, named, leaf, inline, self.constant_arguments(way, definition, node))
        made.waits = way.kind is Kind.RESOLVE or iscoroutinefunction(way.function) or is_abstract_type(named)
        if isinstance(named, GraphQLObjectType):
            level = made.levels[named.name] = self.sublevel(named, details)
            made.waits = made.waits or any(item.waits for item in level.fields)
            if single is named and not level.pending and isinstance(named.is_type_of, RowsOf | None):
                made.ending = level
            if way.wants:
                made.told = {WANTED: _wanted(level)}
        elif way.wants and is_abstract_type(named):  # The rows' types are known to the resolver alone, before it reads them.
            made.told = {WANTED: partial(self.wanted_of, made.levels, details)}
        if made.told and made.arguments is not None:
            made.arguments = {**made.arguments, **made.told}
        return made

    def constant_arguments(self, way: Way, definition: GraphQLField, node: FieldNode) -> Mapping[str, Any] | None:
        """Arguments without variables and with values that nobody can change, coerced now; None for all others."""
        if way.kind in (Kind.TYPENAME, Kind.ATTRIBUTE, Kind.EVENT) or not definition.args:
            return {}
        if way.kind is Kind.RESOLVE or any(variables_of(node.arguments or ())):
            return None
        try:
            given = get_argument_values(definition, node)
            changeable = (
                given.get(argument.out_name or name) is not None and not is_leaf_type(_without_non_null(argument.type))
                for name, argument in definition.args.items()
            )
            return None if any(changeable) else self.planner.convert(definition, given)
        except (GraphQLError, GatewayError, ValueError, TypeError):
            return None  # A value that does not fit: the run finds it again, at its path.


class Plans:
    """The plans of one operation, one for each set of skip and include conditions that was met."""

    def __init__(self, planner: Planner, document: DocumentNode, operation: OperationDefinitionNode) -> None:
        self._planner = planner
        self._document = document
        self._operation = operation
        self._plans: dict[tuple[object, ...], Plan] = {}
        self.unsupported = ""
        """Why graphql-core runs the operation; empty when we do."""
        try:
            self.conditions = planner.conditions(document, operation)
        except Unsupported as reason:
            self.unsupported = str(reason)

    def get(self, values: VariableValues) -> Plan | None:
        """The plan for these variables; None when graphql-core is to run them."""
        if self.unsupported:
            return None
        vector = tuple([values.coerced.get(name) for name in self.conditions]) if self.conditions else ()
        plan = self._plans.get(vector)
        if plan is None:
            if len(self._plans) >= VARIANTS_MAX:
                return None
            try:
                plan = self._plans[vector] = self._planner.plan(self._document, self._operation, values)
            except RecursionError:
                self.unsupported = "selections that are nested too deeply"
        return plan


def _wanted(level: Level) -> Wanted | None:
    """The attributes that are read of the rows of a level, or of those that it hands on; None where it could be any."""
    read: set[str] = set()
    shown: set[str] = set()
    for item in level.fields:
        way = item.way
        if way.handed_on:
            below = [_wanted(under) for under in item.levels.values()]
            if not below:
                return None
            for found in below:
                if found is None:
                    return None
                read |= found - found.shown
                shown |= found.shown
        elif way.kind is Kind.ATTRIBUTE:
            (shown if item.inline else read).add(way.attribute)
        elif way.reads is not None:
            read |= way.reads
        elif way.kind is not Kind.TYPENAME:
            return None
    return Wanted(read, shown)


def _without_non_null(type_: Any) -> Any:
    return type_.of_type if is_non_null_type(type_) else type_
