"""The reference of the command `fullon`, as `docs/cli.md` has it: `make reference` writes the file, a test compares it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import typer

from fullon_master_api.cli import cli

DOCUMENT: Final = Path(__file__).parent.parent / "docs" / "cli.md"

OPENING: Final = """# The command `fullon`

Made from the code by `make reference`; a test fails where the two differ. `fullon COMMAND --help` says the same, and
`fullon --version` which version is installed. Commands read their settings from the environment and from `.env`
([settings.md](settings.md)). The exit code is 0 when all went well, 1 when the command could not do it (standard error says
why and what is allowed), 2 when the command line itself was wrong.
"""


def cli_document() -> str:
    """The whole document: a heading for each command in alphabetical order, what it does, its arguments and options."""
    return "\n".join([OPENING, *_lines(typer.main.get_command(cli), "fullon")])


def _lines(command: Any, name: str) -> Iterator[str]:
    below = getattr(command, "commands", None)
    if below is None:
        parameters = [parameter for parameter in command.params if "--help" not in parameter.opts]
        usage = [name, *(_usage(parameter) for parameter in parameters if _is_argument(parameter))]
        if not all(map(_is_argument, parameters)):
            usage.insert(1, "[OPTIONS]")
        yield f"## `{' '.join(usage)}`\n"
        yield f"{_plain(command.help)}\n"
        if parameters:
            yield "| | default | |\n|---|---|---|"
            yield from map(_row, parameters)
            yield ""
        return
    for word in sorted(below):
        yield from _lines(below[word], f"{name} {word}")


def _is_argument(parameter: Any) -> bool:
    return not any(word.startswith("-") for word in parameter.opts)


def _usage(parameter: Any) -> str:
    word = parameter.name.upper()
    return word if parameter.required else f"[{word}]"


def _row(parameter: Any) -> str:
    names = [parameter.name.upper()] if _is_argument(parameter) else [*parameter.opts, *parameter.secondary_opts]
    told = f"{_plain(parameter.help)} Also read: `{parameter.envvar}`." if parameter.envvar else _plain(parameter.help)
    return f"| {', '.join(f'`{name}`' for name in names)} | {_default(parameter)} | {told} |"


def _default(parameter: Any) -> str:
    value = parameter.default
    if getattr(parameter, "prompt", None):
        return "asked for"
    if parameter.required:
        return "required"
    shown = isinstance(value, str | int | float | Path) and not isinstance(value, bool) and value != ""
    return f"`{getattr(value, 'value', value)}`" if shown else ""


def _plain(text: str | None) -> str:
    paragraphs = (text or "").strip().replace("|", "\\|").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


if __name__ == "__main__":
    DOCUMENT.write_text(cli_document(), encoding="utf-8")
