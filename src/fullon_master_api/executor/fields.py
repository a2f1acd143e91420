"""Fields answered in batches: how a schema ties a GraphQL field to a resolver that takes all its parents at once."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import strawberry
from strawberry.annotation import StrawberryAnnotation
from strawberry.types.arguments import StrawberryArgumentAnnotation
from strawberry.types.field import StrawberryField

from fullon_master_api.executor.loading import BatchResolver, load_batched

PLAN: Final = "fullon.executor"
"""Key in a field's metadata under which its `Answered` record lies."""

WANTED: Final = "wanted"
"""Keyword-only parameter by which a resolver is told which attributes of its rows will be read: `model.Wanted`, or None for all.

Where the field's type is an interface or a union it is a callable that answers this for the name of an object type.
It is no GraphQL argument. What is read is what is selected, and what resolvers of the rows below say they read (`reads`).
"""
HANDED_ON: Final = "fullon.handed_on"
"""Key in a field's metadata: its rows are those that its parent's resolver was asked for, as the rows of a page."""

RESERVED: Final = frozenset({"self", "cls", "root", "info"})


@dataclass(frozen=True, slots=True)
class Answered:
    """How a field is answered: `resolver` takes the parents of a level, or (at the root) no parent at all."""

    resolver: BatchResolver
    rooted: bool
    cost: int


def reads(*attributes: str) -> Callable[[BatchResolver], BatchResolver]:
    """Marks a batch resolver that reads these attributes of its parents and no others; one without the mark may read all."""

    def mark(resolver: BatchResolver) -> BatchResolver:
        resolver.reads = frozenset(attributes)  # type: ignore[attr-defined]
        return resolver

    return mark


class RowsOf:
    """`is_type_of` of a type whose rows are known by their class: `is_type_of = RowsOf(model.Symbol)` in the class body.

    The executor then asks once per class of a level instead of once per row.
    """

    def __init__(self, *kinds: type) -> None:
        self.kinds = kinds

    def __call__(self, value: Any, _info: Any) -> bool:
        return isinstance(value, self.kinds)

    def knows(self, kinds: Iterable[type]) -> bool:
        """Whether rows of all these classes are of the type."""
        return all(issubclass(kind, self.kinds) for kind in kinds)


def answered(field: object) -> Answered | None:
    """The record that `batched` and `rooted` left on a field; None for a plain Strawberry field."""
    if isinstance(field, StrawberryField) and field.metadata:
        return field.metadata.get(PLAN)
    return None


def batched(
    resolver: BatchResolver,
    *,
    description: str,
    arguments: Mapping[str, Any] | None = None,
    name: str | None = None,
    deprecation_reason: str | None = None,
    cost: int = 1,
    directives: Sequence[object] = (),
    handed_on: bool = False,
) -> Any:
    """A field whose resolver is called once for all parents of a level: `ticker: Ticker | None = batched(tickers_of, …)`.

    `resolver(parents, ctx, *, arguments…)` answers a list aligned with `parents`; an Exception in it is that row's error.
    Its keyword-only parameters, with annotations and defaults, are the field's GraphQL arguments. `arguments` maps a
    parameter to its description, or to the annotation that replaces the resolver's (an input type, or
    `Annotated[T, strawberry.argument(…)]`). `cost` is what one row of it adds to the cost of an operation. `handed_on` says
    that its rows are those that its parent's resolver was asked for.
    """
    node_arguments = _signature(resolver, arguments or {})

    async def resolve(root: Any, info: strawberry.Info, **given: Any) -> Any:
        return await load_batched(resolver, root, info.context, info._raw_info.field_nodes[0], given)

    record = Answered(resolver, rooted=False, cost=cost)
    made = _field(resolve, resolver, node_arguments, record, description, name, deprecation_reason, directives)
    if handed_on:
        made.metadata = {**made.metadata, HANDED_ON: True}
    return made


def rooted(
    resolver: Callable[..., Any],
    *,
    description: str,
    arguments: Mapping[str, Any] | None = None,
    name: str | None = None,
    deprecation_reason: str | None = None,
    cost: int = 1,
    directives: Sequence[object] = (),
) -> Any:
    """A field of Query or Mutation: `resolver(ctx, *, arguments…)` answers one value. The rest is as in `batched`."""
    node_arguments = _signature(resolver, arguments or {})

    async def resolve(root: Any, info: strawberry.Info, **given: Any) -> Any:
        answer = resolver(info.context, **given)
        return await answer if inspect.isawaitable(answer) else answer

    record = Answered(resolver, rooted=True, cost=cost)
    return _field(resolve, resolver, node_arguments, record, description, name, deprecation_reason, directives)


def argument_parameters(resolver: Callable[..., Any], arguments: Mapping[str, Any]) -> list[inspect.Parameter]:
    """The keyword-only parameters of a resolver as GraphQL arguments, described or replaced as `arguments` says."""
    # In a class body a field declared above hides a function of the same name: it is then a field that arrives here.
    assert not isinstance(resolver, StrawberryField), "a field hides the function of its name: rename the function"
    named = [p for p in inspect.signature(resolver).parameters.values() if p.kind is inspect.Parameter.KEYWORD_ONLY]
    parameters = [parameter for parameter in named if parameter.name != WANTED]
    unknown = set(arguments) - {parameter.name for parameter in parameters}
    assert not unknown, f"{resolver.__qualname__} has no keyword-only parameter named {sorted(unknown)}"
    found = []
    for parameter in parameters:
        assert parameter.name not in RESERVED, f"{resolver.__qualname__}: {parameter.name!r} cannot be a GraphQL argument"
        found.append(parameter.replace(annotation=_annotation(resolver, parameter, arguments.get(parameter.name))))
    return found


def _signature(resolver: Callable[..., Any], arguments: Mapping[str, Any]) -> inspect.Signature:
    root = inspect.Parameter("root", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    info = inspect.Parameter("info", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=strawberry.Info)
    return inspect.Signature([root, info, *argument_parameters(resolver, arguments)])


def _annotation(resolver: Callable[..., Any], parameter: inspect.Parameter, given: Any) -> Any:
    """The annotation of an argument. A string given is its description; anything else replaces the resolver's."""
    if given is not None and not isinstance(given, str):
        return given
    annotation = parameter.annotation
    assert annotation is not inspect.Parameter.empty, f"{resolver.__qualname__}: {parameter.name!r} has no annotation"
    if isinstance(annotation, str):
        namespace = vars(sys.modules[resolver.__module__])
        annotation = StrawberryAnnotation(annotation, namespace=namespace).evaluate()
    return annotation if given is None else Annotated[annotation, StrawberryArgumentAnnotation(description=given)]


def _field(
    resolve: Callable[..., Any],
    resolver: Callable[..., Any],
    signature: inspect.Signature,
    record: Answered,
    description: str,
    name: str | None,
    deprecation_reason: str | None,
    directives: Sequence[object],
) -> Any:
    resolve.__name__ = resolver.__name__
    resolve.__qualname__ = resolver.__qualname__
    resolve.__module__ = resolver.__module__
    resolve.__signature__ = signature  # type: ignore[attr-defined]
    return strawberry.field(
        resolver=resolve,
        name=name,
        description=description,
        deprecation_reason=deprecation_reason,
        directives=tuple(directives),
        metadata={PLAN: record},
    )
