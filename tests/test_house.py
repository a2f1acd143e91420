"""Rules of the house that a machine can check: names, lengths, owners of tasks, refusals, imports without effects."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Final

import pytest

from fullon_master_api import errors

ROOT: Final = Path(__file__).parent.parent
PACKAGE: Final = ROOT / "src" / "fullon_master_api"
MODULES: Final = sorted(PACKAGE.rglob("*.py"))
OURS: Final = [
    *MODULES,
    *sorted((ROOT / "tests").rglob("*.py")),
    *sorted((ROOT / "examples").rglob("*.py")),
    ROOT / "hatch_build.py",
]
IGNORED: Final = {
    ".git",
    ".venv",
    "node_modules",
    "built",
    "dist",
    "__pycache__",
    ".fullon",
    ".import_linter_cache",
    ".hypothesis",
}

LINES_MAX: Final = 400
FUNCTION_LINES_MAX: Final = 60

# Names that tell the shape of a module, never what is in it. The manager of the services is the platform's own word, and
# `executor/core.py` is named for graphql-core, which it runs.
VAGUE: Final = re.compile(
    r"^_?(utils?|helpers?|common|base|misc|core|shared|stuff|tools?|lib|managers?|handlers?|funcs?|extras?)$"
)
VAGUE_ALLOWED: Final = {PACKAGE / "services" / "manager.py", PACKAGE / "executor" / "core.py"}

# What a refusal must hold at least one of: what is allowed, what to do now, or which fact stands against it.
ALLOWED: Final = (
    r"must|may|can|cannot|allowed|allows|only|known|needs?|needed|required|takes?|"
    r"at (least|most)|(more|longer|larger) than|between|expected|it has"
)
TO_DO: Final = (
    "use|give|ask|try|wait|sign in|log in|set|run|read|resume|connect|name|choose|send|make|start|stop|refresh|sort|store|import|"
    "remove|split|close|open|pass|write"
)
FACTS: Final = (
    r"^no|which no|already|too (large|long)|not (one of|now|of|JSON)|another|held by|missing|taken|switched off|exchange now"
)
HINT: Final = re.compile(rf"\b({ALLOWED}|{TO_DO}|{FACTS})\b", re.IGNORECASE)
# Refusals of a caller's input or right. The others (absent, unavailable, timed out, not signed in) tell by their code.
REFUSALS: Final = {
    "BadUserInput", "BadCursor", "Conflict", "Immutable", "CostLimit", "DepthLimit", "TooLarge", "RateLimited",
    "Forbidden", "ParseFailed", "ValidationFailed", "BadParameter",
}  # fmt: skip


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _files() -> Iterator[Path]:
    """Every file of the project that is not installed, built or kept by a tool."""
    waiting = [ROOT]
    while waiting:
        for path in waiting.pop().iterdir():
            if path.name in IGNORED or path.name.endswith((".egg-info", "_cache")):
                continue
            if path.is_dir():
                waiting.append(path)
            elif path.suffix not in (".png", ".parquet", ".pyc"):
                yield path


# ---- names and lengths -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", OURS, ids=_name)
def test_a_module_opens_by_saying_in_one_sentence_what_is_in_it(path: Path) -> None:
    if path.name == "__init__.py" and not path.read_text(encoding="utf-8").strip():
        return  # A folder of tests.
    docstring = ast.get_docstring(_tree(path))
    assert docstring, "no docstring"
    first = " ".join(docstring.split("\n\n")[0].split())
    assert first.endswith((".", "?")), f"the first paragraph is no sentence: {first!r}"
    assert not re.search(r"[.!?] (?!Source: )[A-Z]", first), f"the first paragraph is more than one sentence: {first!r}"


def test_no_name_is_vague() -> None:
    vague = [
        _name(path) for path in [*OURS, *(path.parent for path in OURS)] if VAGUE.match(path.stem) and path not in VAGUE_ALLOWED
    ]
    assert vague == []


def test_no_module_is_longer_than_one_can_hold_in_mind() -> None:
    long = {_name(path): lines for path in MODULES if (lines := len(path.read_text(encoding="utf-8").splitlines())) > LINES_MAX}
    long.pop("src/fullon_master_api/model.py", None)  # The nouns are one list, cut by headings.
    assert long == {}


def test_no_function_is_longer_than_a_screen() -> None:
    long = {
        f"{_name(path)}:{node.name}": lines
        for path in MODULES
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES_MAX
    }
    assert long == {}


# ---- every task has an owner -------------------------------------------------------------------------------------------

CLOSERS: Final = {"aclose", "__aexit__", "close", "stop"}


def _makes_loose_task(call: ast.Call) -> bool:
    """Whether this call starts a task that no TaskGroup owns: `asyncio.create_task`, `loop.create_task`, `ensure_future`."""
    if not isinstance(call.func, ast.Attribute):
        return isinstance(call.func, ast.Name) and call.func.id in ("create_task", "ensure_future")
    if call.func.attr == "ensure_future":
        return True
    receiver = ast.unparse(call.func.value)
    return call.func.attr == "create_task" and (receiver == "asyncio" or "loop" in receiver)


def _attribute_of_self(node: ast.AST | None) -> str | None:
    """`tasks` of `self.tasks`, of `self.tasks[key]` and of `self.tasks.add`."""
    while isinstance(node, ast.Subscript) or (isinstance(node, ast.Attribute) and not isinstance(node.value, ast.Name)):
        node = node.value
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
        return node.attr
    return None


def _is_closed(holder: ast.ClassDef, attribute: str) -> bool:
    """Whether a closing method of the class, or one that it calls, names the attribute, and the class cancels or awaits."""
    closing = [node for node in ast.walk(holder) if isinstance(node, ast.AsyncFunctionDef) and node.name in CLOSERS]
    calls = [node for closer in closing for node in ast.walk(closer) if isinstance(node, ast.Call)]
    called = {call.func.attr for call in calls if isinstance(call.func, ast.Attribute)}
    helpers = [
        node for node in ast.walk(holder) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in called
    ]
    return any(f"self.{attribute}" in ast.unparse(node) for node in [*closing, *helpers])


def _is_cancelled_here(function: ast.AST, attribute: str) -> bool:
    endings = [node for attempt in ast.walk(function) if isinstance(attempt, ast.Try) for node in attempt.finalbody]
    return any(f"self.{attribute}.cancel()" in ast.unparse(node) for node in endings)


def _is_awaited_here(function: ast.AST, name: str) -> bool:
    waits = [node for node in ast.walk(function) if isinstance(node, ast.Await)]
    return any(isinstance(part, ast.Name) and part.id == name for wait in waits for part in ast.walk(wait))


def _keepers(function: ast.AST, name: str) -> Iterator[str]:
    """Attributes of self that the function puts this local task into."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and any(isinstance(argument, ast.Name) and argument.id == name for argument in node.args):
            kept = [_attribute_of_self(node.func)]
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Name) and node.value.id == name:
            kept = [_attribute_of_self(target) for target in node.targets]
        else:
            continue
        yield from (attribute for attribute in kept if attribute)


def _loose_tasks(tree: ast.Module) -> Iterator[int]:
    """Lines of tasks whose owner cannot be seen.

    Owned are: a task of a TaskGroup; one kept in an attribute of a class whose closing method names that attribute,
    or whose starter cancels it in a `finally`; a local one that the same function awaits.
    """
    parents = {child: parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)}
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call) and _makes_loose_task(node)):
        above = parents[call]
        while isinstance(
            above, ast.Call | ast.Starred | ast.IfExp | ast.ListComp | ast.DictComp | ast.SetComp | ast.List | ast.Set
        ):
            if isinstance(above, ast.Call) and _attribute_of_self(above.func):
                break
            above = parents[above]
        around: list[ast.AST] = [call]
        while around[-1] in parents:
            around.append(parents[around[-1]])
        function = next((node for node in around if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)), tree)
        holder = next((node for node in around if isinstance(node, ast.ClassDef)), None)
        targets = above.targets if isinstance(above, ast.Assign) else [getattr(above, "target", None)]
        if isinstance(above, ast.Call):
            targets = [above.func]
        attributes = [name for name in map(_attribute_of_self, targets) if name]
        for target in targets:
            attributes += _keepers(function, target.id) if isinstance(target, ast.Name) else []
        if holder is not None and any(_is_closed(holder, name) or _is_cancelled_here(function, name) for name in attributes):
            continue
        if any(isinstance(target, ast.Name) and _is_awaited_here(function, target.id) for target in targets):
            continue
        yield call.lineno


def test_no_task_is_without_an_owner() -> None:
    assert [f"{_name(path)}:{line}" for path in MODULES for line in _loose_tasks(_tree(path))] == []


def test_the_rule_about_tasks_sees_a_task_without_an_owner() -> None:
    source = """
class Pump:
    def start(self):
        asyncio.create_task(self.run())
        self.task = asyncio.create_task(self.run())
        self.kept.add(asyncio.create_task(self.run()))
        named = asyncio.create_task(self.run())
        self.kept.add(named)
    async def aclose(self):
        self.kept.clear()
async def work():
    lost = asyncio.create_task(run())
    awaited = asyncio.create_task(run())
    await awaited
    async with asyncio.TaskGroup() as group:
        group.create_task(run())
"""
    assert sorted(_loose_tasks(ast.parse(source))) == [4, 5, 12]


# ---- refusals ----------------------------------------------------------------------------------------------------------


def _text(node: ast.expr) -> str | None:
    """The fixed words of a message; None where it is not written at the raise."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)  # type: ignore[misc]
    return None


def _refusals(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(call := node.exc, ast.Call) and call.args:
            kind = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            text = _text(call.args[0])
            if kind in REFUSALS and text is not None:
                yield node.lineno, text


def test_a_refusal_says_what_is_allowed_or_what_to_do() -> None:
    bare = [
        f"{_name(path)}:{line}: {text}"
        for path in MODULES
        for line, text in _refusals(_tree(path))
        if re.search(r"[A-Za-z]", text) and not HINT.search(text)
    ]
    assert bare == []


# ---- what is committed -------------------------------------------------------------------------------------------------


def test_the_lock_of_the_pages_names_no_host_to_download_from() -> None:
    lock = json.loads((ROOT / "ui" / "package-lock.json").read_text(encoding="utf-8"))
    assert len(lock["packages"]) > 100
    assert [name for name, package in lock["packages"].items() if "resolved" in package] == []
    assert [name for name, package in lock["packages"].items() if name and not name.startswith("node_modules/")] == []


def test_no_file_names_a_registry_or_a_folder_of_one_machine() -> None:
    slash = "/"
    wrong = re.compile(
        rf"https?://[\w.-]*(?:registry|artifactory|nexus|pypi|npmjs|proxy)[\w.-]*[.:]\w+|"
        rf"(?<![\w.~-]){slash}(?:work|home|root|Users){slash}\w|index-url|\b_authToken\b"
    )
    found = []
    for path in _files():
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue  # A picture, or data.
        found += [
            f"{_name(path)}:{number}" for number, line in enumerate(lines, 1) if wrong.search(line) and path != Path(__file__)
        ]
    assert found == []


def test_no_work_is_left_for_later_in_a_comment() -> None:
    marks = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" * 3, "HA" + "CK"]) + r")\b")
    lines = chain.from_iterable(
        ((path, number, line) for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)) for path in OURS
    )
    assert [f"{_name(path)}:{number}" for path, number, line in lines if marks.search(line)] == []


# ---- nothing happens at import -----------------------------------------------------------------------------------------

IMPORT_ALL: Final = """
import importlib, os, sys, threading

events = []
package = sys.argv[1]

def ours():
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_filename.startswith(package):
            return frame.f_code.co_filename
        if frame.f_code.co_filename.startswith("<frozen importlib") and frame.f_code.co_name == "exec_module":
            return None  # The next frames are those of whoever imports, not of what does it.
        frame = frame.f_back
    return None

def watch(event, arguments):
    if event == "open" and not (isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")):
        return
    if event in ("open", "os.mkdir", "os.remove", "subprocess.Popen", "sqlite3.connect") or event.startswith("socket."):
        where = ours()
        if where:
            events.append(f"{where}: {event} {arguments[:1]}")

sys.addaudithook(watch)
before = threading.active_count()
for name in sys.argv[2:]:
    importlib.import_module(name)
    if threading.active_count() != before:
        events.append(f"{name}: started a thread")
        before = threading.active_count()
print("\\n".join(events))
"""


def test_nothing_happens_at_import() -> None:
    names = []
    for path in MODULES:
        if "migrations" in path.parts:
            continue  # Alembic runs these as scripts, inside a migration.
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    run = subprocess.run(
        [sys.executable, "-B", "-c", IMPORT_ALL, str(PACKAGE), *names], capture_output=True, text=True, timeout=250, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split("\n") == ["", ""]


# ---- documents ---------------------------------------------------------------------------------------------------------


def test_the_document_of_errors_explains_every_code_and_no_other() -> None:
    text = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([A-Z_]+)` \| (\d{3}) \|", text, re.MULTILINE)
    kinds = [kind for kind in _kinds(errors.GatewayError) if kind.__module__ == errors.__name__]
    statuses = {kind.code: kind.http_status for kind in kinds}
    assert [code for code, _ in rows] == list(errors.CODES)
    assert {code: int(status) for code, status in rows} == statuses


def _kinds(kind: type[errors.GatewayError]) -> list[type[errors.GatewayError]]:
    return [kind, *(deeper for below in kind.__subclasses__() for deeper in _kinds(below))]


def test_no_document_points_to_a_file_that_is_not_there() -> None:
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    links = [
        (document, link) for document in documents for link in re.findall(r"\]\(([^)#\s]+)", document.read_text(encoding="utf-8"))
    ]
    local = [(document, link) for document, link in links if "://" not in link]
    assert len(local) >= 5
    assert [f"{_name(document)}: {link}" for document, link in local if not (document.parent / link).exists()] == []
