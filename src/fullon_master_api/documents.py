"""`fullon documents`: which GraphQL texts a server runs where it runs trusted ones only."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fullon_master_api.errors import BadUserInput
from fullon_master_api.people import say

if TYPE_CHECKING:  # What takes long to import is imported by the command that needs it: help and TAB do not wait for it.
    from fullon_master_api.apis.orm import Orm
    from fullon_master_api.executor.engine import Engine

documents = typer.Typer(no_args_is_help=True, help="Trusted documents: what runs under TRUSTED_DOCUMENTS_ONLY=true.")

NAME_LENGTH_MAX = 200

Files = Annotated[
    list[Path],
    typer.Argument(
        help="A GraphQL document whose text is sent exactly as the file holds it; or JSON: hash to text, or Apollo's manifest.",
        exists=True,
        dir_okay=False,
    ),
]
Hashes = Annotated[list[str], typer.Argument(help="SHA-256 of documents, as `fullon documents list` shows them.")]


@documents.command()
def add(files: Files) -> None:
    """Trust the documents of these files; nothing is added where one of them could not run."""
    from fullon_master_api.executor.engine import Engine
    from fullon_master_api.schema import build_schema

    async def work() -> str:
        engine = Engine(build_schema())
        found = {}
        for file in files:
            for text in texts_in(file):
                name = checked_name(engine, text, file)
                found[sha256(text.encode()).hexdigest()] = (name[:NAME_LENGTH_MAX], text)
        async with store() as orm:
            new = await orm.documents.add(found)
        return "\n".join([*(line(key, name) for key, (name, _) in found.items()), f"{new} added, {len(found) - new} were there"])

    say(work)


@documents.command(name="list")
def show() -> None:
    """List the trusted documents by hash."""
    from fullon_master_api.apis.orm.paging import FIRST_MAX

    async def work() -> str:
        lines: list[str] = []
        async with store() as orm:
            after = ""
            while rows := await orm.documents.page(after=after):
                lines += [line(row.sha256, row.name) for row in rows]
                after = rows[-1].sha256
                if len(rows) < FIRST_MAX:
                    break
        return "\n".join(lines) or "no trusted documents"

    say(work)


@documents.command()
def remove(hashes: Hashes) -> None:
    """Trust these no longer; running servers forget them within five seconds."""

    async def work() -> str:
        async with store() as orm:
            gone = await orm.documents.remove([given.removeprefix("sha256:").lower() for given in hashes])
        unknown = len(set(hashes)) - len(gone)
        if unknown:
            raise BadUserInput(f"removed {len(gone)}, {unknown} were not there: use a hash that `fullon documents list` shows")
        return f"removed {len(gone)}"

    say(work)


def texts_in(file: Path) -> Iterator[str]:
    """The documents of a file. Raises BadUserInput, which says what kinds of file there are."""
    text = file.read_text(encoding="utf-8")
    if file.suffix.lower() != ".json":
        yield text
        return
    try:
        manifest: Any = json.loads(text)
    except ValueError as error:
        raise BadUserInput(f"{file} is not JSON: {error}") from error
    operations = manifest.get("operations", manifest) if isinstance(manifest, dict) else None
    if isinstance(operations, list):
        operations = {str(item.get("id")): item.get("body") for item in operations if isinstance(item, dict)}
    if not isinstance(operations, dict) or not operations:
        raise BadUserInput(f"{file} must hold an object of hash to text, or Apollo's manifest of operations")
    for key, body in operations.items():
        if not isinstance(body, str) or sha256(body.encode()).hexdigest() != key.removeprefix("sha256:").lower():
            raise BadUserInput(f"{file}: {key[:80]!r} is not the SHA-256 of its text: let the client's build use SHA-256")
        yield body


def checked_name(engine: Engine, text: str, file: Path) -> str:
    """The names of a document's operations, each of which can run. Raises BadUserInput with what is wrong and where."""
    from fullon_master_api.executor.engine import DocumentError, operations_of

    try:
        names = operations_of(text)
        if not names:
            engine.prepare(text)
        for name in names:
            engine.prepare(text, name)
    except DocumentError as error:
        told = "; ".join(f"{each.message} {_places(each)}".strip() for each in error.errors)
        raise BadUserInput(f"{file}: {told}") from None
    return ", ".join(names) or file.stem


def _places(error: Any) -> str:
    places = [f"{place.line}:{place.column}" for place in error.locations or ()]
    return f"(at {', '.join(places)})" if places else ""


def line(key: str, name: str) -> str:
    return f"{key}  {name}"


@asynccontextmanager
async def store() -> AsyncIterator[Orm]:
    from fullon_master_api.apis.orm import open_orm
    from fullon_master_api.settings import Settings

    settings = Settings()
    if settings.orm_url.startswith("sqlite"):
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with open_orm(settings.orm_url) as orm:
        yield orm
