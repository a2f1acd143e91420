"""What one operation may ask: its size, depth and cost, measured in time linear to the document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListTypeNode,
    NamedTypeNode,
    NonNullTypeNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    TypeNode,
    VariableDefinitionNode,
    VariableNode,
    get_named_type,
    is_composite_type,
    is_input_object_type,
    is_list_type,
    is_non_null_type,
)
from graphql.utilities import type_from_ast

from fullon_master_api.executor.answers import DocumentError, refusal
from fullon_master_api.executor.fields import answered
from fullon_master_api.executor.overlaps import check_definitions, check_repeats, count_values

OBJECT_VALUES: Final = 20
SIZE_ARGUMENTS: Final = ("first", "last", "limit")
STRAWBERRY: Final = "strawberry-definition"


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one operation, and how much of past work is remembered."""

    bytes_max: int = 50_000
    tokens_max: int = 3_000
    """Reading a token and validating it takes about 30 microseconds together."""
    depth_max: int = 15
    aliases_max: int = 500
    directives_max: int = 200
    root_fields_max: int = 100
    variables_max: int = 200
    fragments_max: int = 300
    values_max: int = 500
    """Items of lists and fields of objects that are written in the document; variables are not counted."""
    variable_values_max: int = 25_000
    """The same of the variables, and each input object there as `OBJECT_VALUES` more: about 2 and 100 microseconds to convert."""
    passes_max: int = 1_500
    """Operations times fragments: validation looks for variables in every fragment, once for each operation."""
    pairs_max: int = 2_000
    """Pairs of fields that share one place in the answer: validation compares each pair, in about 20 microseconds."""
    meetings_max: int = 20_000
    """Quarters of pairs of fragments that share one place, and the spreads in them: about 2 microseconds each."""
    fields_max: int = 20_000
    """Fields of the document with its fragments written out where they are spread."""
    cost_max: int = 1_000_000
    list_size_assumed: int = 10
    """Rows that a list without `first`, `last` or `limit` is counted as."""
    timeout_s: float = 30.0
    slow_s: float = 0.0
    """An operation that takes longer is logged with its document's hash; 0 logs none."""
    documents_max: int = 1_000
    documents_bytes_max: int = 400_000
    """Bytes of text of all remembered operations; each byte of text holds about 350 bytes of syntax tree and plan."""
    refusals_max: int = 200
    reading_share: float = 0.25
    """Share of a CPU for reading documents that were never seen; those that are known cost none of it."""
    reading_burst_s: float = 1.0
    """What may be spent of it at once after a quiet time, in seconds."""
    reading_waiting_max: int = 50
    """New documents of one caller that wait for their turn."""
    reading_waiting_all_max: int = 500
    """The same of all callers."""
    reading_wait_s: float = 5.0
    """How long one waits for its turn."""
    fragments_bytes_max: int = 64_000_000
    """Memory of what is kept of answers that come again, as closed candles (`fragments.py`)."""


@dataclass(frozen=True, slots=True)
class Definition:
    """What an operation or a fragment asks by itself, its spreads not followed."""

    depth: int
    aliases: int
    directives: int
    spreads: tuple[tuple[str, int], ...]


def check_variables(schema: GraphQLSchema, operation: OperationDefinitionNode, given: Mapping[str, Any], most: int) -> None:
    """Refuse variables that would take long to convert, before that is begun. What is inside a custom scalar is not converted."""
    left = most
    for definition in operation.variable_definitions or ():
        waiting = [given.get(definition.variable.name.value)]
        type_: TypeNode = definition.type
        while isinstance(type_, NonNullTypeNode | ListTypeNode):
            type_ = type_.type
        deep = isinstance(type_, NamedTypeNode) and is_input_object_type(schema.get_type(type_.name.value))
        while waiting and left >= 0:
            value = waiting.pop()
            if type(value) is list:
                left -= len(value)
                waiting += value if left >= 0 else ()
            elif deep and type(value) is dict:
                left -= len(value) + OBJECT_VALUES
                waiting += value.values() if left >= 0 else ()
        if left < 0:
            told = f"the variables hold more than {most} values, an object counted as {OBJECT_VALUES}: send fewer at once"
            raise DocumentError([refusal("TOO_LARGE", told, definition)])


def check_size(text: str, limits: Limits) -> None:
    """Refuse a document that is too long to be read at all."""
    if len(text) > limits.bytes_max or len(text.encode()) > limits.bytes_max:
        raise DocumentError([refusal("TOO_LARGE", f"the document is longer than {limits.bytes_max} bytes")])


def check_shape(document: DocumentNode, operation: OperationDefinitionNode, limits: Limits) -> int:
    """Refuse an operation that is too deep, or too wide to be validated in reasonable time; how many values it writes."""
    values = count_values(document)
    if values > limits.values_max:
        told = f"the document writes {values} items and input fields, at most {limits.values_max}: send them as variables"
        raise DocumentError([refusal("TOO_LARGE", told)])
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    definitions = {name: _define(node.selection_set) for name, node in fragments.items()}
    own = _define(operation.selection_set)
    depth = _depth(own, _fragment_depths(definitions))
    if depth > limits.depth_max:
        raise DocumentError([refusal("DEPTH_LIMIT", f"the operation is {depth} levels deep, at most {limits.depth_max}")])
    everything = [*definitions.values(), *(_define(node.selection_set) for node in operations)]
    directives = sum(definition.directives for definition in everything) + sum(
        len(node.directives or ())
        for definition in document.definitions
        for node in (definition, *(getattr(definition, "variable_definitions", None) or ()))
        if isinstance(node, OperationDefinitionNode | FragmentDefinitionNode | VariableDefinitionNode)
    )
    if directives > limits.directives_max:
        told = f"the document has {directives} directives, at most {limits.directives_max}"
        raise DocumentError([refusal("COST_LIMIT", told)])
    aliases = sum(definition.aliases for definition in everything)
    if aliases > limits.aliases_max:
        raise DocumentError([refusal("COST_LIMIT", f"the document has {aliases} aliases, at most {limits.aliases_max}")])
    variables = max(len(node.variable_definitions or ()) for node in operations)
    if variables > limits.variables_max:
        raise DocumentError([refusal("TOO_LARGE", f"an operation has {variables} variables, at most {limits.variables_max}")])
    check_definitions(len(operations), len(fragments), limits)
    check_repeats(operations, fragments, limits)
    roots = sum(1 for _ in _root_fields(operation.selection_set))
    if roots > limits.root_fields_max:
        raise DocumentError([refusal("COST_LIMIT", f"the operation has {roots} root fields, at most {limits.root_fields_max}")])
    return values


def _root_fields(selections: SelectionSetNode) -> Iterator[FieldNode]:
    stack: list[SelectionNode] = list(selections.selections)
    while stack:
        node = stack.pop()
        if isinstance(node, FieldNode):
            yield node
        elif isinstance(node, InlineFragmentNode):
            stack.extend(node.selection_set.selections)


def _define(selections: SelectionSetNode) -> Definition:
    depth, aliases, directives = 0, 0, 0
    spreads: list[tuple[str, int]] = []
    stack: list[tuple[SelectionNode, int]] = [(node, 1) for node in selections.selections]
    while stack:
        node, level = stack.pop()
        directives += len(node.directives or ())
        if isinstance(node, FieldNode):
            aliases += node.alias is not None
            # Introspection nests by nature; graphql-core's MaxIntrospectionDepthRule bounds it.
            if node.name.value.startswith("__"):
                continue
            depth = max(depth, level)
            if node.selection_set is not None:
                stack.extend((child, level + 1) for child in node.selection_set.selections)
        elif isinstance(node, InlineFragmentNode):
            stack.extend((child, level) for child in node.selection_set.selections)
        elif isinstance(node, FragmentSpreadNode):
            spreads.append((node.name.value, level))
    return Definition(depth, aliases, directives, tuple(spreads))


def _depth(definition: Definition, depths: Mapping[str, int]) -> int:
    return max([definition.depth, *(level - 1 + depths.get(name, 0) for name, level in definition.spreads)])


def _fragment_depths(definitions: Mapping[str, Definition]) -> dict[str, int]:
    """Depth of each fragment with its spreads followed; a spread that closes a cycle adds nothing, validation refuses it."""
    depths: dict[str, int] = {}
    for name in _spread_order({name: [spread for spread, _ in d.spreads] for name, d in definitions.items()}):
        depths[name] = _depth(definitions[name], depths)
    return depths


def _spread_order(spreads: Mapping[str, list[str]]) -> Iterator[str]:
    """Each fragment once, after those it spreads, without recursion and whatever cycles there are."""
    entered: set[str] = set()
    for root in spreads:
        stack: list[tuple[str, Iterator[str]]] = []
        if root not in entered:
            entered.add(root)
            stack.append((root, iter(spreads[root])))
        while stack:
            name, rest = stack[-1]
            following = next((spread for spread in rest if spread in spreads and spread not in entered), None)
            if following is None:
                yield name
                stack.pop()
            else:
                entered.add(following)
                stack.append((following, iter(spreads[following])))


@dataclass(frozen=True, slots=True)
class Share:
    """Cost of a selection set: what is fixed, and what each row of the list that wraps it adds (a connection's `edges`)."""

    fixed: int
    per_row: int


class CostModel:
    """The cost of one operation as a function of its variables; fragments are counted once each and multiplied."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode, limits: Limits) -> None:
        self._schema = schema
        self._operation = operation
        self._limits = limits
        self._defaults = {
            definition.variable.name.value: int(definition.default_value.value)
            for definition in operation.variable_definitions or ()
            if isinstance(definition.default_value, IntValueNode) and len(definition.default_value.value) < 20
        }
        fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
        spreads = {name: [spread for spread, _ in _define(node.selection_set).spreads] for name, node in fragments.items()}
        self._fragments = [(name, fragments[name]) for name in _spread_order(spreads)]
        self._used: set[str] = set()
        self._variables: Mapping[str, Any] = {}
        self._shares: dict[str, Share] = {}
        self._known: dict[tuple[int | None, ...], int] = {(): 0}
        first = self._compute({})
        self._sized_by = tuple(sorted(self._used))
        self._known = {self._key({}): first}

    def check(self, variables: Mapping[str, Any] | None) -> int:
        """The cost with these variables; DocumentError `COST_LIMIT` when it is more than one operation may cost."""
        cost = self.measure(variables)
        if cost > self._limits.cost_max:
            shown = str(cost) if cost < 10**12 else "more than 10^12"
            raise DocumentError([refusal("COST_LIMIT", f"the operation costs {shown}, at most {self._limits.cost_max}")])
        return cost

    def measure(self, variables: Mapping[str, Any] | None) -> int:
        """The cost with these variables, whatever is allowed."""
        key = self._key(variables or {}) if self._sized_by else ()
        cost = self._known.get(key)
        if cost is None:
            if len(self._known) >= 64:
                self._known.clear()
            cost = self._known[key] = self._compute(variables or {})
        return cost

    def check_known(self) -> None:
        """Refuse now what no variable can make cheaper."""
        if not self._sized_by:
            self.check({})

    def _key(self, variables: Mapping[str, Any]) -> tuple[int | None, ...]:
        return tuple(_size(variables.get(name)) for name in self._sized_by)

    def _compute(self, variables: Mapping[str, Any]) -> int:
        self._variables = variables
        self._shares = {}
        for name, fragment in self._fragments:
            parent = type_from_ast(self._schema, fragment.type_condition)
            self._shares[name] = self._share(fragment.selection_set, parent)
        root = self._schema.get_root_type(self._operation.operation)
        share = self._share(self._operation.selection_set, root)
        return share.fixed + share.per_row * self._limits.list_size_assumed

    def _share(self, selections: SelectionSetNode, parent: Any) -> Share:
        fixed, per_row = 0, 0
        for node in selections.selections:
            if isinstance(node, FieldNode):
                share = self._field_share(node, parent)
            elif isinstance(node, InlineFragmentNode):
                condition = node.type_condition
                share = self._share(node.selection_set, type_from_ast(self._schema, condition) if condition else parent)
            else:
                assert isinstance(node, FragmentSpreadNode)
                share = self._shares.get(node.name.value, Share(0, 0))
            fixed, per_row = fixed + share.fixed, per_row + share.per_row
        return Share(fixed, per_row)

    def _field_share(self, node: FieldNode, parent: Any) -> Share:
        definition = self._definition(parent, node.name.value)
        weight = _weight(definition)
        if definition is None or node.selection_set is None or not is_composite_type(get_named_type(definition.type)):
            return Share(weight, 0)
        inner = self._share(node.selection_set, get_named_type(definition.type))
        lists = _list_depth(definition.type)
        size = self._given_size(node, definition)
        assumed = self._limits.list_size_assumed
        if lists == 0:
            # A connection: the size that it is given is that of the list inside it.
            return Share(weight + 1 + inner.fixed + inner.per_row * (assumed if size is None else size), 0)
        rows = (1 + inner.fixed + inner.per_row * assumed) * assumed ** (lists - 1)
        return Share(weight, rows) if size is None else Share(weight + rows * size, 0)

    def _definition(self, parent: Any, name: str) -> GraphQLField | None:
        if parent is None or not is_composite_type(parent):
            return None
        return self._schema.get_field(parent, name)

    def _given_size(self, node: FieldNode, definition: GraphQLField) -> int | None:
        """Rows asked for by `first`, `last` or `limit`; None when the field takes none of them."""
        sizes = []
        given = {argument.name.value: argument.value for argument in node.arguments or ()}
        for name in SIZE_ARGUMENTS:
            if name not in definition.args:
                continue
            value = given.get(name)
            if isinstance(value, VariableNode):
                self._used.add(value.name.value)
                size = _size(self._variables.get(value.name.value, self._defaults.get(value.name.value)))
            else:
                size = int(value.value) if isinstance(value, IntValueNode) and len(value.value) < 20 else None
            default = definition.args[name].default
            sizes.append(_size(default.value) if size is None and default is not None else size)
        found = [size for size in sizes if size is not None]
        return max(1, *found) if found else None


def _size(value: Any) -> int | None:
    return value if type(value) is int else None


def _weight(definition: GraphQLField | None) -> int:
    record = answered(definition.extensions.get(STRAWBERRY)) if definition is not None else None
    return 0 if record is None else record.cost


def _list_depth(type_: Any) -> int:
    depth = 0
    while is_non_null_type(type_) or is_list_type(type_):
        depth += is_list_type(type_)
        type_ = type_.of_type
    return depth
