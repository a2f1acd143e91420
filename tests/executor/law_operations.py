"""Random operations over any schema: fragments, aliases, directives, variables and arguments in every position."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLSchema,
    get_named_type,
    is_abstract_type,
    is_composite_type,
    is_input_object_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
    is_required_argument,
    is_required_input_field,
)

VALUES: dict[str, list[Any]] = {
    "Int": [0, 1, 2, 3, 7],
    "Float": [0.5, 2],
    "String": ["", "a", 'q"uote'],
    "Boolean": [True, False],
    "ID": ["1", 2],
    "Decimal": ["0.10", 7],
    "BigInt": ["5"],
    "DateTime": ["2025-11-10T12:00:00Z"],
}


class Writer:
    """Writes one operation; the same random numbers write the same one."""

    def __init__(self, schema: GraphQLSchema, chance: random.Random, named: Mapping[str, Sequence[Any]] | None = None) -> None:
        """`named` are values for arguments and input fields of some names, where any value of their type would say little."""
        self.named = named or {}
        self.schema = schema
        self.chance = chance
        self.fragments: list[str] = []
        self.definitions: list[str] = []
        self.variables: dict[str, Any] = {}
        self.budget = 40

    def operation(self, kind: str) -> tuple[str, dict[str, Any]]:
        """Text and variables of a query, a mutation or a subscription."""
        root = {"query": self.schema.query_type, "mutation": self.schema.mutation_type}.get(kind, self.schema.subscription_type)
        assert root is not None
        if kind == "subscription":
            name = self.chance.choice(list(root.fields))
            body = "{ " + self.field(root.fields[name], name, 0) + " }"
        else:
            body = self.selections(root, 0)
        head = f"{kind} Q" + (f"({', '.join(self.definitions)})" if self.definitions else "")
        return " ".join([head, body, *self.fragments]), self.variables

    def selections(self, type_: Any, depth: int) -> str:
        parts = [self.selection(type_, depth) for _ in range(self.chance.choice([1, 1, 2, 2, 3, 4, 5]))]
        return "{ " + " ".join(part for part in parts if part) + " __typename }"

    def selection(self, type_: Any, depth: int) -> str:
        self.budget -= 1
        dice = self.chance.random()
        if dice < 0.06:
            return "t: __typename" if self.chance.random() < 0.5 else "__typename"
        if dice < 0.14 and depth < 5:
            return f"... {self.directives()} {self.selections(type_, depth + 1)}"
        if dice < 0.24 and depth < 5:
            return f"... on {self.condition(type_)} {self.directives()} {self.inner}"
        if dice < 0.32 and depth < 4:
            name = f"F{len(self.fragments)}"
            self.fragments.append("")
            place = len(self.fragments) - 1
            condition = self.condition(type_)
            self.fragments[place] = f"fragment {name} on {condition} {self.inner}"
            return f"...{name} {self.directives()}" + (f" ...{name}" if self.chance.random() < 0.3 else "")
        fields = getattr(type_, "fields", None)
        if not fields:
            return "__typename"
        name = self.chance.choice(list(fields))
        composite = is_composite_type(get_named_type(fields[name].type))
        if composite and (depth > 5 or self.budget < 0):
            return "__typename"
        return self.field(fields[name], name, depth)

    def condition(self, type_: Any) -> str:
        """A type that values of `type_` may have, with a selection on it in `self.inner`."""
        choices = [type_]
        if is_abstract_type(type_):
            choices += self.schema.get_possible_types(type_)
        elif is_object_type(type_):
            choices += type_.interfaces
        chosen = self.chance.choice(choices)
        self.inner = self.selections(chosen, 3)
        return str(chosen.name)

    def field(self, field: GraphQLField, name: str, depth: int) -> str:
        # One alias always has the same arguments, so that equal aliases may be merged.
        variant = self.chance.choice([0, 0, 0, 1, 2])
        label = f"{name}{variant}: {name}" if variant else name
        arguments = self.arguments(field, random.Random(f"{name}{variant}"))
        inner = ""
        if is_composite_type(get_named_type(field.type)):
            inner = self.selections(get_named_type(field.type), depth + 1)
        return f"{label}{arguments} {self.directives()} {inner}"

    def arguments(self, field: GraphQLField, chance: random.Random) -> str:
        parts = []
        for name, argument in field.args.items():
            if is_required_argument(argument) or chance.random() < 0.6:
                if chance.random() < 0.4:
                    parts.append(f"{name}: {self.variable(name, argument.type, chance)}")
                else:
                    parts.append(f"{name}: {self.literal(argument.type, chance, 0, name)}")
        return f"({', '.join(parts)})" if parts else ""

    def variable(self, name: str, type_: Any, chance: random.Random) -> str:
        variable = f"{name}{str(type_).replace('[', 'l').replace(']', '').replace('!', 'N')}{chance.randrange(2)}"
        if not any(definition.startswith(f"${variable}:") for definition in self.definitions):
            default = ""
            if not is_non_null_type(type_) and chance.random() < 0.3:
                default = f" = {self.literal(type_, chance, 0, name)}"
            self.definitions.append(f"${variable}: {type_}{default}")
            if is_non_null_type(type_) or chance.random() < 0.7:
                self.variables[variable] = self.value(type_, chance, 0, name)
        return f"${variable}"

    def directives(self) -> str:
        dice = self.chance.random()
        if dice > 0.12:
            return ""
        which = self.chance.choice(["skip", "include"])
        if dice < 0.06:
            return f"@{which}(if: {self.chance.choice(['true', 'false'])})"
        name = self.chance.choice(["on", "off"])
        if not any(definition.startswith(f"${name}:") for definition in self.definitions):
            default = self.chance.choice(["!", "! = true", "! = false"])
            self.definitions.append(f"${name}: Boolean{default}")
            if default == "!" or self.chance.random() < 0.5:
                self.variables[name] = self.chance.random() < 0.5
        return f"@{which}(if: ${name})"

    def value(self, type_: Any, chance: random.Random, depth: int, name: str = "") -> Any:
        """A JSON value of an input type, for an argument or an input field of that name."""
        if is_non_null_type(type_):
            return self.value(type_.of_type, chance, depth, name)
        if depth and chance.random() < 0.15:
            return None
        if is_list_type(type_):
            inner = type_.of_type
            items = [self.value(inner, chance, depth + 1, name) for _ in range(chance.randrange(3))]
            return [item for item in items if item is not None or not is_non_null_type(inner)]
        if is_input_object_type(type_):
            return self.object(type_, chance, depth)
        if isinstance(type_, GraphQLEnumType):
            return chance.choice(list(type_.values))
        return chance.choice(self.named.get(name) or VALUES[type_.name])

    def object(self, type_: GraphQLInputObjectType, chance: random.Random, depth: int) -> dict[str, Any]:
        if type_.is_one_of:
            name = chance.choice(list(type_.fields))
            return {name: chance.choice(VALUES[get_named_type(type_.fields[name].type).name])}
        chosen = {}
        for name, field in type_.fields.items():
            if is_required_input_field(field) or (depth < 2 and chance.random() < 0.5):
                chosen[name] = self.value(field.type, chance, depth + 1, name)
                if chosen[name] is None and is_non_null_type(field.type):
                    del chosen[name]
        return chosen

    def literal(self, type_: Any, chance: random.Random, depth: int, name: str) -> str:
        return _literal(self.value(type_, chance, depth, name), type_)


def _literal(value: Any, type_: Any) -> str:
    if is_non_null_type(type_):
        return _literal(value, type_.of_type)
    if value is None:
        return "null"
    if is_list_type(type_):
        return "[" + ", ".join(_literal(item, type_.of_type) for item in value) + "]"
    if is_input_object_type(type_):
        return "{" + ", ".join(f"{name}: {_literal(item, type_.fields[name].type)}" for name, item in value.items()) + "}"
    if isinstance(type_, GraphQLEnumType):
        return str(value)
    return json.dumps(value)
