"""Typed clients are generated from the committed schema, in TypeScript and in Python, and their compilers accept them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.npm import NODE

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "schema" / "schema.graphql"
OPERATIONS = ROOT / "ui" / "source" / "dashboard" / "operations.graphql"
PACKAGES = ROOT / "ui" / "node_modules"

USE_TYPESCRIPT = """
import type { DeskQuery, TickersSubscriptionVariables } from "./operations";
import type { Symbol } from "./schema";

export const wanted: TickersSubscriptionVariables = { exchange: "kraken", symbols: ["BTC/USD"] };
export const bids = (desk: DeskQuery): (string | null | undefined)[] => (desk.symbols?.nodes ?? []).map((one) => one.ticker?.bid);
export const digits = (symbol: Symbol): number => symbol.priceDecimals;
"""
WRONG_TYPESCRIPT = """
import type { TickersSubscriptionVariables } from "./operations";

export const wanted: TickersSubscriptionVariables = { exchange: 7, symbols: ["BTC/USD"] };
"""
USE_PYTHON = """
from decimal import Decimal

from fullon_client import Client


async def bids(client: Client) -> list[Decimal | None]:
    desk = await client.desk()
    return [one.ticker.bid if one.ticker else None for one in desk.symbols.nodes] if desk.symbols else []
"""
PYTHON_SETTINGS = """
[tool.ariadne-codegen]
schema_path = {schema}
queries_path = {queries}
target_package_name = "fullon_client"

[tool.ariadne-codegen.scalars.Decimal]
type = "decimal.Decimal"
[tool.ariadne-codegen.scalars.DateTime]
type = "datetime.datetime"
[tool.ariadne-codegen.scalars.BigInt]
type = "str"
"""


def run(command: list[str | Path], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=400, check=False)


@pytest.mark.slow
def test_typescript_is_generated_and_compiles(tmp_path: Path) -> None:
    script = Path(__file__).parent / "typed" / "typescript.mjs"
    made = run([NODE, script, PACKAGES.parent, SCHEMA, OPERATIONS, tmp_path], tmp_path)
    assert made.returncode == 0, made.stderr
    compiler: list[str | Path] = [NODE, PACKAGES / "typescript" / "bin" / "tsc", "--noEmit", "--strict", "--target", "es2022"]
    compiler += ["--module", "esnext", "--moduleResolution", "bundler", "--types", ""]

    (tmp_path / "use.ts").write_text(USE_TYPESCRIPT)
    compiled = run([*compiler, "use.ts", "schema.ts", "operations.ts"], tmp_path)
    assert compiled.returncode == 0, compiled.stdout

    (tmp_path / "use.ts").write_text(WRONG_TYPESCRIPT)
    refused = run([*compiler, "use.ts", "schema.ts", "operations.ts"], tmp_path)
    assert refused.returncode != 0
    assert "'number' is not assignable to type 'string'" in refused.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_python_is_generated_and_its_types_hold(tmp_path: Path) -> None:
    """In an environment of its own: ariadne-codegen wants an older graphql-core than the server."""
    made = run([sys.executable, "-m", "venv", "env"], tmp_path)
    assert made.returncode == 0, made.stderr
    python = tmp_path / "env" / "bin" / "python"
    packages = ["ariadne-codegen>=0.19,<1", "httpx>=0.28,<1", "mypy>=1.18,<3"]
    installed = run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages], tmp_path)
    assert installed.returncode == 0, installed.stderr
    settings = PYTHON_SETTINGS.format(schema=f'"{SCHEMA}"', queries=f'"{OPERATIONS}"')
    (tmp_path / "pyproject.toml").write_text(settings)
    generated = run([python.with_name("ariadne-codegen")], tmp_path)
    assert generated.returncode == 0, generated.stdout + generated.stderr

    (tmp_path / "use.py").write_text(USE_PYTHON)
    checked = run([python, "-m", "mypy", "use.py"], tmp_path)
    assert checked.returncode == 0, checked.stdout

    (tmp_path / "use.py").write_text(USE_PYTHON.replace("list[Decimal | None]", "list[int]"))
    refused = run([python, "-m", "mypy", "use.py"], tmp_path)
    assert refused.returncode == 1
    assert "Decimal" in refused.stdout
