"""Documents read, measured and validated once: the bounded memory of operations that clients send again and again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from copy import copy
from typing import Any, Final, Generic, TypeVar

from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    Lexer,
    OperationDefinitionNode,
    OperationType,
    Source,
    Token,
    parse,
)
from graphql.execution.values import VariableValues
from graphql.language.parser import Parser

from fullon_master_api.executor.answers import DocumentError, coded, refusal
from fullon_master_api.executor.limits import CostModel, Limits, check_shape, check_size
from fullon_master_api.executor.plan import Planner, Plans
from fullon_master_api.executor.reading import Reader
from fullon_master_api.executor.validation import validated

NO_VARIABLES: Final = VariableValues({}, {})
ERRORS_MAX: Final = 20
VALUES_PRINTED_MAX: Final = 30
SUGGESTED_TEXT_MAX: Final = 2_500
"""Characters of a document whose errors come with suggestions: looking for one takes up to a millisecond for each name."""
SCHEMA_FIELDS: Final = ("__schema", "__type", "_service")
"""Root fields that show the schema; `__typename` begins with one of them and shows nothing."""

V = TypeVar("V")


class Prepared:
    """One operation, parsed, within its limits and valid; compared by identity, so it is a key for what is shared."""

    __slots__ = (
        "__weakref__",
        "_blind",
        "coerced",
        "cost",
        "document",
        "hides_types",
        "incremental",
        "kind",
        "name",
        "operation",
        "plans",
        "schema_fields",
        "text",
    )

    def __init__(
        self,
        text: str,
        name: str | None,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        cost: CostModel,
        plans: Plans,
    ) -> None:
        self.text = text
        self.name = name
        self.document = document
        self.operation = operation
        self.kind: OperationType = operation.operation
        self.incremental = "@defer" in text or "@stream" in text
        """Whether parts of its answer may come later, where the client takes them so."""
        self.schema_fields = _schema_fields(text, document)
        """Those of `SCHEMA_FIELDS` that it asks."""
        self.hides_types = False
        """Whether `__type` knows no type."""
        self._blind: Prepared | None = None
        self.cost = cost
        self.coerced: tuple[object, VariableValues] | None = None
        """The variables that it ran with last, and what became of them."""
        self.plans = plans
        """How it is run."""

    def blind(self) -> Prepared:
        """The same for whom the schema is not shown: `__type`, which may be null, is."""
        if self._blind is None:
            self._blind = copy(self)
            self._blind.hides_types = True
        return self._blind


Key = tuple[str, str | None]


def _key_bytes(key: Key, _value: object) -> int:
    return len(key[0])


class Recent(Generic[V]):
    """The values last used, at most `count_max` of them and `bytes_max` of what `weigh` counts: the texts of their keys."""

    def __init__(self, count_max: int, bytes_max: int, weigh: Callable[[Key, V], int] = _key_bytes) -> None:
        self._count_max = count_max
        self._bytes_max = bytes_max
        self._weigh = weigh
        self._bytes = 0
        self._values: OrderedDict[Key, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Key) -> V | None:
        """The value of a key, which is now the one used last."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def take(self, key: Key) -> V | None:
        """The value of a key, which is no longer remembered."""
        value = self._values.pop(key, None)
        if value is not None:
            self._bytes -= self._weigh(key, value)
        return value

    def put(self, key: Key, value: V) -> None:
        """Remember a value; those used longest ago give way."""
        self.take(key)
        self._bytes += self._weigh(key, value)
        self._values[key] = value
        while len(self._values) > self._count_max or (self._bytes > self._bytes_max and len(self._values) > 1):
            self._bytes -= self._weigh(*self._values.popitem(last=False))


class Documents:
    """Operations by text and name.

    What was asked once is remembered apart from what was asked again, and what was refused apart from both: a flood of texts that
    nobody repeats, good or bad, pushes out none that clients use.
    """

    def __init__(self, schema: GraphQLSchema, planner: Planner, limits: Limits) -> None:
        self._schema = schema
        self._planner = planner
        self._limits = limits
        self._reader: Reader[Any] = Reader(limits)
        quarter, bytes_quarter = max(1, limits.documents_max // 4), limits.documents_bytes_max // 4
        self._once: Recent[Prepared] = Recent(quarter, bytes_quarter)
        self._again: Recent[Prepared] = Recent(max(1, limits.documents_max - quarter), 3 * bytes_quarter)
        self._refused: Recent[tuple[GraphQLError, ...]] = Recent(limits.refusals_max, limits.documents_bytes_max)

    def prepare(self, text: str, name: str | None) -> Prepared:
        """The operation of that text and name, read now; DocumentError with a coded error when it cannot be run."""
        return self._find(text, name) or self._keep(text, name, self._try(text, name))

    async def prepare_in_turn(self, text: str, name: str | None, caller: Hashable) -> Prepared:
        """The same beside the event loop. A known one never waits; a new one waits for its turn among those of all callers.

        Raises RateLimited where too many wait.
        """
        known = self._find(text, name)
        if known is not None:
            return known
        found: Prepared | tuple[GraphQLError, ...] = await self._reader.read(caller, (text, name), lambda: self._try(text, name))
        return self._keep(text, name, found)

    async def read_apart(self, read: Callable[[], Any]) -> Any:
        """What `read` gives, worked out where new documents are read; all who ask for the schema have one turn together."""
        return await self._reader.read("the schema", read, read)

    def close(self) -> None:
        """End the thread that reads."""
        self._reader.close()

    def find(self, text: str, name: str | None) -> Prepared | None:
        """The operation, if it is known and not refused."""
        key = (text, name)
        prepared = self._again.get(key)
        if prepared is None:
            prepared = self._once.take(key)
            if prepared is not None:
                self._again.put(key, prepared)
        return prepared

    def _find(self, text: str, name: str | None) -> Prepared | None:
        """The operation, if it is known; DocumentError if it is known to be refused, or is too long to be read at all."""
        prepared = self.find(text, name)
        if prepared is not None:
            return prepared
        check_size(text, self._limits)
        errors = self._refused.get((text, name))
        if errors is not None:
            raise DocumentError(errors)
        return None

    def _keep(self, text: str, name: str | None, found: Prepared | tuple[GraphQLError, ...]) -> Prepared:
        """Remember what was found."""
        key = (text, name)
        if isinstance(found, tuple):
            self._refused.put(key, found)
            raise DocumentError(found)
        if self._again.get(key) is None:
            self._once.put(key, found)
        return found

    def _try(self, text: str, name: str | None) -> Prepared | tuple[GraphQLError, ...]:
        """What is found, or why it is refused; the exception stays here, since its traceback holds all that was read."""
        lexer = Lexer(Source(text))
        first = lexer.token
        try:
            return self._read(text, name, self._parse(lexer))
        except DocumentError as error:
            return error.errors
        finally:
            unlink_tokens(first)

    def _read(self, text: str, name: str | None, document: DocumentNode) -> Prepared:
        operation = _operation(document, name)
        values = check_shape(document, operation, self._limits)
        cost = CostModel(self._schema, document, operation, self._limits)
        cost.check_known()
        silent = len(text) > SUGGESTED_TEXT_MAX
        # graphql-core prints a whole input object into each error about it.
        errors_max = ERRORS_MAX if values <= VALUES_PRINTED_MAX else 1
        errors = validated(self._schema, document, errors_max, hide_suggestions=silent)
        if errors:
            raise DocumentError([coded(error, "VALIDATION_FAILED") for error in errors])
        if self._schema.get_root_type(operation.operation) is None:
            raise DocumentError([refusal("VALIDATION_FAILED", f"this server has no {operation.operation.value}s", operation)])
        plans = Plans(self._planner, document, operation)
        if not plans.unsupported and not plans.conditions:
            plans.get(NO_VARIABLES)  # Any others are made when its variables are known.
        return Prepared(text, name, document, operation, cost, plans)

    def _parse(self, lexer: Lexer) -> DocumentNode:
        tokens_max = self._limits.tokens_max
        try:
            return Parser(lexer.source, lexer=lexer, max_lexical_tokens=tokens_max, max_comments=tokens_max).parse_document()
        except RecursionError:
            raise DocumentError([refusal("DEPTH_LIMIT", "the document is nested too deeply to be parsed")]) from None
        except GraphQLSyntaxError as error:
            # graphql-core gives a limit and a mistake the same class; only its text tells them apart.
            if "nested too deeply" in error.message:
                raise DocumentError([coded(error, "DEPTH_LIMIT")]) from None
            if "Parsing aborted" in error.message:
                raise DocumentError([refusal("TOO_LARGE", f"the document has more than {tokens_max} tokens")]) from None
            raise DocumentError([coded(error, "PARSE_FAILED")]) from None


def unlink_tokens(first: Token) -> None:
    """Let go of the list of all tokens, which holds itself: a document is then freed with its last user, without a collection.

    Nodes keep the tokens at their ends, and so their places.
    """
    token: Token | None = first
    while token is not None:
        following = token.next
        token.prev = token.next = None
        token = following


def operations_of(text: str) -> list[str]:
    """The names of the operations in a document that can be parsed; one without a name stands alone and has none."""
    try:
        document = parse(text)
    except GraphQLSyntaxError as error:
        raise DocumentError([coded(error, "PARSE_FAILED")]) from None
    nodes = (node for node in document.definitions if isinstance(node, OperationDefinitionNode))
    return [node.name.value for node in nodes if node.name is not None]


def _schema_fields(text: str, document: DocumentNode) -> frozenset[str]:
    if not any(name in text for name in SCHEMA_FIELDS):
        return frozenset()
    found: set[str] = set()
    stack: list[Any] = list(document.definitions)
    while stack:
        node = stack.pop()
        if isinstance(node, FieldNode) and node.name.value in SCHEMA_FIELDS:
            found.add(node.name.value)
        selections = getattr(node, "selection_set", None)
        stack.extend(selections.selections if selections is not None else ())
    return frozenset(found)


def _operation(document: DocumentNode, name: str | None) -> OperationDefinitionNode:
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    if not operations:
        raise DocumentError([refusal("BAD_USER_INPUT", "the document holds no operation")])
    if name is None:
        if len(operations) > 1:
            raise DocumentError([refusal("BAD_USER_INPUT", "the document holds several operations: say which by operationName")])
        return operations[0]
    for operation in operations:
        if operation.name is not None and operation.name.value == name:
            return operation
    raise DocumentError([refusal("BAD_USER_INPUT", f"the document holds no operation named {name[:60]!r}")])
