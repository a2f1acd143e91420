"""What the documents show is true: operations are valid against the schema, the reference of the command equals the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from graphql import GraphQLSchema, build_schema, parse, validate

from fullon_master_api import schema
from tests.cli_document import DOCUMENT as CLI_DOCUMENT
from tests.cli_document import cli_document

ROOT: Final = Path(__file__).parent.parent
DOCUMENTS: Final = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SOURCES: Final = [path for path in sorted((ROOT / "ui" / "source").rglob("*.[jt]s*")) if path.name != "generated.ts"]


def _operations() -> Iterator[tuple[str, str]]:
    """(where, text) of each fenced `graphql` block, and of each string of the pages' sources that is an operation."""
    for path in DOCUMENTS:
        for number, block in enumerate(re.findall(r"```graphql\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)):
            yield f"{path.name}:{number}", block
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        strings = re.findall(r'[`"]((?:#[^\n]*\n)?(?:query|mutation|subscription) \w+.*?)[`"]', text, re.DOTALL)
        for number, string in enumerate(_whole(text, strings)):
            yield f"{path.name}:{number}", string

    dashboard = ROOT / "ui" / "source" / "dashboard" / "operations.graphql"
    yield dashboard.name, dashboard.read_text(encoding="utf-8")


def _whole(text: str, strings: list[str]) -> Iterator[str]:
    """Template literals may hold double quotes: take each up to the mark that opened it."""
    for string in strings:
        begin = text.index(string)
        yield text[begin : text.index(text[begin - 1], begin)]


OPERATIONS: Final = list(_operations())


@pytest.fixture(scope="module")
def served() -> GraphQLSchema:
    return build_schema(schema.build_schema().as_str())


@pytest.mark.parametrize(("where", "text"), OPERATIONS, ids=[where for where, _ in OPERATIONS])
def test_an_operation_that_is_shown_is_valid(where: str, text: str, served: GraphQLSchema) -> None:
    assert [error.message for error in validate(served, parse(text))] == [], where


def test_the_operations_of_readme_and_pages_are_found() -> None:
    found = [where.split(":")[0] for where, _ in OPERATIONS]
    assert found.count("README.md") == 3
    assert found.count("examples.js") == 8
    assert found.count("operations.graphql") == 1


def test_the_reference_of_the_command_is_what_the_code_says() -> None:
    assert CLI_DOCUMENT.read_text(encoding="utf-8") == cli_document(), "run `make reference`"


# ---- commands ----------------------------------------------------------------------------------------------------------

PROGRAMS: Final = (
    r"fullon|make|docker|kubectl|systemctl|pip|pip-audit|npm|python3?|curl|uvicorn|pg_dump|sqlite3|\.venv/bin/\w[\w-]*|\.ci/run"
)
HERE_DOCUMENT: Final = re.compile(r"<<END\n.*?\nEND\n", re.DOTALL)
INLINE: Final = re.compile(rf"(?<!`)`((?:[A-Z_]+=\S+ )*(?:{PROGRAMS}) [^`]+)`(?!`)")
COMMANDS: Final = ROOT / "docs" / "commands.md"


def _shown_commands() -> set[str]:
    """Each line of a fenced shell block, and each command with an argument in running text, as one line without comment."""
    found = set()
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CLAUDE.md", *sorted((ROOT / "docs").glob("*.md"))]:
        if path.name in ("cli.md", COMMANDS.name):
            continue
        text = path.read_text(encoding="utf-8")
        for block in re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            whole = HERE_DOCUMENT.sub("<<END\n", block).replace("\\\n", "")
            found |= {" ".join(re.sub(r"\s{2,}#.*", "", line).split()) for line in whole.splitlines() if line.strip()}
        prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
        found |= {" ".join(command.split()) for command in INLINE.findall(prose)}
    return found


def _listed_commands() -> dict[str, str]:
    """Command to who ran it, from the list."""
    rows = re.findall(r"^\| `(.+?)` \| [\w, -]+ \| (.+) \|$", COMMANDS.read_text(encoding="utf-8"), re.MULTILINE)
    return {command.replace("\\|", "|"): runner for command, runner in rows}


def test_every_command_that_is_shown_is_listed_with_who_ran_it() -> None:
    listed = _listed_commands()
    assert _shown_commands() == set(listed)
    assert len(listed) > 80


def test_the_tests_that_are_said_to_run_a_command_are_there() -> None:
    named = {name for runner in _listed_commands().values() for name in re.findall(r"`(tests/[\w/.:]+)`", runner)}
    assert len(named) > 20
    for name in named:
        path, _, function = name.partition("::")
        text = (ROOT / path).read_text(encoding="utf-8")
        assert not function or re.search(rf"^(async )?def {function}\(", text, re.MULTILINE), name
