"""graphql-core's validation of a document, which leaves nothing behind that only Python's collector could free.

graphql-core's own `validate` keeps each visitor's methods in the visitor: thousands of objects for each document that hold one
another. A flood of new documents then has the collector stop the event loop to look through all that is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphql import (
    ASTValidationRule,
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    ParallelVisitor,
    TypeInfo,
    TypeInfoVisitor,
    ValidationContext,
    Visitor,
    assert_valid_schema,
    specified_rules,
    visit,
)
from graphql.language import Node
from graphql.validation.validate import (
    FragmentNestingVisitor,
    ValidationAbortedError,
    query_document_keys_to_validate,
)
from graphql.validation.validation_context import NodeWithSelectionSet, VariableUsage, VariableUsageVisitor
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

RULES: tuple[type[ASTValidationRule], ...] = (*specified_rules, MaybeNullValidationRule, OneOfInputValidationRule)


class Context(ValidationContext):
    """What the rules ask of a document."""

    def __init__(
        self, schema: GraphQLSchema, document: DocumentNode, types: TypeInfo, on_error: Any, *, hide_suggestions: bool
    ) -> None:
        super().__init__(schema, document, types, on_error, hide_suggestions)
        self._types = types
        self._usages: dict[NodeWithSelectionSet, list[VariableUsage]] = {}

    def get_variable_usages(self, node: NodeWithSelectionSet) -> list[VariableUsage]:
        usages = self._usages.get(node)
        if usages is None:
            visitor = VariableUsageVisitor(self._types, node if isinstance(node, FragmentDefinitionNode) else None)
            usages = self._usages[node] = visitor.usages
            walk(node, self._types, visitor)
        return usages


def walk(node: Node, types: TypeInfo, *visitors: Visitor, keys: Any = None) -> None:
    """Visit a node and all below it, and let the visitors go: what they remember is gone."""
    parallel = ParallelVisitor(visitors) if len(visitors) > 1 else visitors[0]
    outer = TypeInfoVisitor(types, parallel)
    try:
        visit(node, outer, keys)
    finally:
        for visitor in (outer, parallel, *visitors):
            vars(visitor).clear()


def validated(schema: GraphQLSchema, document: DocumentNode, errors_max: int, *, hide_suggestions: bool) -> list[GraphQLError]:
    """The errors of a document by all rules, as graphql-core's `validate` tells them; one more says where it gave up."""
    assert_valid_schema(schema)
    errors: list[GraphQLError] = []

    def take(error: GraphQLError) -> None:
        if len(errors) >= errors_max:
            raise ValidationAbortedError("Too many validation errors, error limit reached. Validation aborted.")
        errors.append(error)

    types = TypeInfo(schema)
    context = Context(schema, document, types, take, hide_suggestions=hide_suggestions)
    rules: Sequence[Visitor] = [rule(context) for rule in RULES]
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    if fragments:
        rules = [FragmentNestingVisitor(fragments), *rules]
    try:
        walk(document, types, *rules, keys=query_document_keys_to_validate)
    except ValidationAbortedError as aborted:
        aborted.__context__ = None
        errors.append(aborted.with_traceback(None))
    except RecursionError:
        errors.append(ValidationAbortedError("Validation aborted."))
    return errors
