"""How much validation would have to compare, measured before it begins (GraphQL spec 5.3.2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

from graphql import (
    ArgumentNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    ListValueNode,
    Node,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
)

from fullon_master_api.executor.answers import DocumentError, refusal


class OverlapLimits(Protocol):
    """Those of `Limits` that this is about."""

    @property
    def fragments_max(self) -> int: ...
    @property
    def passes_max(self) -> int: ...
    @property
    def pairs_max(self) -> int: ...
    @property
    def meetings_max(self) -> int: ...
    @property
    def fields_max(self) -> int: ...


def check_definitions(operations: int, fragments: int, limits: OverlapLimits) -> None:
    """Refuse a document with so many definitions that visiting all fragments for each operation would take long."""
    if fragments > limits.fragments_max:
        raise DocumentError([refusal("TOO_LARGE", f"the document has {fragments} fragments, at most {limits.fragments_max}")])
    if operations > 1 and operations * (fragments + 1) > limits.passes_max:
        told = f"the document has {operations} operations and {fragments} fragments: send the operations one by one"
        raise DocumentError([refusal("TOO_LARGE", told)])


def check_repeats(
    operations: Sequence[OperationDefinitionNode], fragments: Mapping[str, FragmentDefinitionNode], limits: OverlapLimits
) -> None:
    """Refuse a document whose overlapping fields would take long to compare (GraphQL spec 5.3.2).

    Walks the document as the answer is shaped: all selections that share a place in the answer are one group. The walk
    itself ends after `fields_max` fields, which is how many the answer's shape may have.
    """
    reached: set[str] = set()
    degrees = {name: len(spreads_in(node.selection_set)) for name, node in fragments.items()}
    groups: list[list[SelectionSetNode]] = [[node.selection_set] for node in operations]
    fields, pairs, meetings = 0, 0, 0
    unused = list(fragments)
    while groups:
        counts: dict[str, list[SelectionSetNode]] = {}
        repeats: Counter[str] = Counter()
        spread: set[str] = set()
        stack = groups.pop()
        while stack:
            for node in stack.pop().selections:
                if isinstance(node, FieldNode):
                    name = (node.alias or node.name).value
                    repeats[name] += 1
                    if node.selection_set is not None:
                        counts.setdefault(name, []).append(node.selection_set)
                elif isinstance(node, InlineFragmentNode):
                    stack.append(node.selection_set)
                elif isinstance(node, FragmentSpreadNode) and node.name.value not in spread and node.name.value in fragments:
                    spread.add(node.name.value)
                    stack.append(fragments[node.name.value].selection_set)
        reached |= spread
        groups.extend(counts.values())
        fields += repeats.total() + len(spread)
        pairs += sum(count * (count - 1) // 2 for count in repeats.values())
        met = len(spread)
        meetings += 2 * met * (met - 1) + max(0, met - 1) * sum(degrees[name] for name in spread)
        if meetings > limits.meetings_max:
            raise DocumentError([refusal("TOO_LARGE", f"the document spreads {met} fragments at one place: use fewer there")])
        if pairs > limits.pairs_max:
            name, count = repeats.most_common(1)[0]
            raise DocumentError([refusal("TOO_LARGE", f"the document repeats fields too often: {name!r} {count} times")])
        if fields > limits.fields_max:
            raise DocumentError([refusal("TOO_LARGE", f"the document selects more than {limits.fields_max} fields")])
        while not groups and unused:
            # Validation also compares the fields of fragments that nothing spreads.
            name = unused.pop()
            if name not in reached:
                reached.add(name)
                groups.append([fragments[name].selection_set])


def count_values(document: DocumentNode) -> int:
    """Items of lists and fields of objects that are written in the document, in arguments and defaults, at any depth."""
    count = 0
    stack: list[Node] = list(document.definitions)
    while stack:
        node = stack.pop()
        if isinstance(node, ListValueNode):
            count += len(node.values)
            stack.extend(node.values)
        elif isinstance(node, ObjectValueNode):
            count += len(node.fields)
            stack.extend(field.value for field in node.fields)
        elif isinstance(node, SelectionSetNode):
            stack.extend(node.selections)
        else:
            selections = getattr(node, "selection_set", None)
            value = getattr(node, "value", None) if isinstance(node, ArgumentNode) else getattr(node, "default_value", None)
            stack.extend(part for part in (selections, value) if isinstance(part, Node))
            for name in ("arguments", "directives", "variable_definitions"):
                stack.extend(getattr(node, name, None) or ())
    return count


def spreads_in(selections: SelectionSetNode) -> set[str]:
    """Fragments that a selection spreads at its own place."""
    found: set[str] = set()
    stack = [selections]
    while stack:
        for node in stack.pop().selections:
            if isinstance(node, FragmentSpreadNode):
                found.add(node.name.value)
            elif isinstance(node, InlineFragmentNode):
                stack.append(node.selection_set)
    return found
