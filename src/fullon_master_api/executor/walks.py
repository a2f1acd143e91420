"""Walks over the nodes of a document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from graphql import ArgumentNode, DocumentNode, Node, SelectionNode, VariableNode


def selections_of(document: DocumentNode) -> Iterator[SelectionNode]:
    """Every field and spread of a document."""
    stack: list[Any] = list(document.definitions)
    while stack:
        node = stack.pop()
        if isinstance(node, SelectionNode):
            yield node
        selections = getattr(node, "selection_set", None)
        if selections is not None:
            stack.extend(selections.selections)


def variables_of(arguments: Any) -> Iterator[str]:
    """Names of the variables in some arguments, at any depth of lists and objects."""
    stack: list[Node] = [argument.value for argument in arguments if isinstance(argument, ArgumentNode)]
    while stack:
        node = stack.pop()
        if isinstance(node, VariableNode):
            yield node.name.value
        stack.extend(getattr(node, "values", ()))
        stack.extend(item.value for item in getattr(node, "fields", ()))
