"""The command `fullon`: its help, and what its commands do to a store."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
import tomllib
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from fullon_master_api.apis.orm import Secrets, open_orm
from fullon_master_api.auth.jwt import Signer
from fullon_master_api.auth.totp import totp_code, totp_step
from fullon_master_api.cli import cli
from fullon_master_api.errors import Unavailable
from fullon_master_api.settings import Settings

SECRET = "a secret that is long enough to sign with"


def fullon(*words: str, folder: Path, typed: str | None = None, **settings: str) -> Result:
    """The command in this process: `exit_code`, `stdout`, `stderr`."""
    env = {"DATA_DIR": str(folder), "JWT_SECRET_KEY": SECRET, "NO_COLOR": "1", "COLUMNS": "120", "TERM": "dumb"} | settings
    return CliRunner(env=env).invoke(cli, list(words), input=typed)


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("serve",),
        ("demo",),
        ("worker",),
        ("paper",),
        ("migrate",),
        ("migrate", "up"),
        ("migrate", "credentials"),
        ("user",),
        ("user", "add"),
        ("token",),
        ("schema",),
        ("explain",),
        ("documents",),
        ("documents", "add"),
        ("documents", "list"),
        ("documents", "remove"),
    ],
)
def test_every_command_says_what_it_does(words: tuple[str, ...], tmp_path: Path) -> None:
    done = fullon(*words, "--help", folder=tmp_path)

    assert done.exit_code == 0, done.stderr
    assert "Usage" in done.stdout


def test_the_command_says_which_version_is_installed(tmp_path: Path) -> None:
    named = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    done = fullon("--version", folder=tmp_path)

    assert (done.exit_code, done.stdout) == (0, f"{named['name']} {named['version']}\n")


def test_help_and_completion_do_not_wait_for_what_only_a_server_needs() -> None:
    heavy = ("ccxt", "sqlalchemy", "strawberry", "graphql", "fastapi", "pydantic", "aiohttp", "uvicorn", "pyarrow")
    code = f"import sys, fullon_master_api.cli; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=250, check=True)

    assert done.stdout.strip() == "[]"


def test_users_are_added_listed_changed_and_switched_off(tmp_path: Path) -> None:
    added = fullon(
        "user", "add", "ada@fullon", "--name", "Ada", "--admin", folder=tmp_path, typed="first password\nfirst password\n"
    )
    assert added.exit_code == 0, added.stderr
    assert "ada@fullon" in added.stdout
    assert "first password" not in added.stdout + added.stderr

    again = fullon("user", "add", "ada@fullon", "--password", "other password", folder=tmp_path)
    assert again.exit_code == 1
    assert "is taken" in again.stderr

    short = fullon("user", "add", "bob@fullon", "--password", "short", folder=tmp_path)
    assert short.exit_code == 1
    assert "must have 8 to 256" in short.stderr

    assert "switched off" in fullon("user", "deactivate", "ada@fullon", folder=tmp_path).stdout
    assert "ended" in fullon("user", "passwd", "ada@fullon", "--password", "second password", folder=tmp_path).stdout
    listed = fullon("user", "list", folder=tmp_path)
    assert [line.split()[1:4] for line in listed.stdout.splitlines()] == [["ada@fullon", "ADMIN", "switched"]]
    missing = fullon("user", "deactivate", "nobody@fullon", folder=tmp_path)
    assert (missing.exit_code, "no user" in missing.stderr) == (1, True)


@pytest.mark.skipif(os.name != "posix", reason="only POSIX has such permissions")
def test_a_folder_that_is_made_for_the_data_is_its_owners_alone(tmp_path: Path) -> None:
    made = tmp_path / "new" / "data"

    fullon("user", "add", "ada@fullon", "--password", "first password", folder=made)

    assert (made / "fullon.db").exists()
    assert made.stat().st_mode & 0o777 == 0o700


def test_a_second_factor_is_set_and_taken_away(tmp_path: Path) -> None:
    fullon("user", "add", "ada@fullon", "--password", "first password", folder=tmp_path)
    shown = fullon("user", "totp", "ada@fullon", folder=tmp_path).stdout
    secret = shown.split("secret  ")[1].split()[0]
    assert f"otpauth://totp/Fullon%3Aada%40fullon?secret={secret}&issuer=Fullon" in shown

    async def kept() -> str:
        async with open_orm(f"sqlite+aiosqlite:///{tmp_path / 'fullon.db'}") as orm:
            found = await orm.users.credentials_by_mail("ada@fullon")
            assert found is not None
            return found.totp_secret

    assert asyncio.run(kept()) == secret
    assert totp_step(secret, totp_code(secret, 7), 7 * 30) == 7
    assert "no second factor" in fullon("user", "totp", "ada@fullon", "--off", folder=tmp_path).stdout
    assert asyncio.run(kept()) == ""


def test_migrations_go_up_and_down_and_say_where_they_are(tmp_path: Path) -> None:
    assert "no tables" in fullon("migrate", "status", folder=tmp_path).stdout
    assert fullon("migrate", "up", folder=tmp_path).exit_code == 0
    newest = fullon("migrate", "status", folder=tmp_path).stdout
    assert fullon("migrate", "down", folder=tmp_path).exit_code == 0

    assert fullon("migrate", "status", folder=tmp_path).stdout != newest


def test_exchange_keys_are_sealed_anew_so_that_the_old_key_may_go(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'fullon.db'}"
    older, newer = (base64.urlsafe_b64encode(bytes([byte]) * 32).decode() for byte in (1, 2))
    fullon("migrate", "up", folder=tmp_path)

    async def store() -> int:
        async with open_orm(url, credentials_key=older) as orm:
            exchange = await orm.exchanges.install(None, "kraken")
            user = await orm.users.add(None, {"mail": "ada@fullon"}, password_hash="-")
            values = {"uid": user.uid, "cat_ex_id": exchange.cat_ex_id, "name": "main"}
            return (await orm.accounts.add(None, values, secrets=Secrets("key", "secret"))).ex_id

    async def read(key: str) -> Secrets | None:
        async with open_orm(url, credentials_key=key) as orm:
            return await orm.accounts.credentials(ex_id)

    ex_id = asyncio.run(store())
    with pytest.raises(Unavailable):
        asyncio.run(read(newer))
    done = fullon("migrate", "credentials", folder=tmp_path, CREDENTIALS_KEY=f"{newer},{older}")
    assert (done.exit_code, done.stdout) == (0, "sealed anew: 1\n"), done.stderr
    assert asyncio.run(read(newer)) == Secrets("key", "secret")
    again = fullon("migrate", "credentials", folder=tmp_path, CREDENTIALS_KEY=newer)
    assert again.stdout == "sealed anew: 0\n"
    refused = fullon("migrate", "credentials", folder=tmp_path, CREDENTIALS_KEY=older)
    assert (refused.exit_code, "CREDENTIALS_KEY" in refused.output) == (1, True), refused.output


def test_a_token_is_good_for_the_server_of_the_same_secret(tmp_path: Path) -> None:
    done = fullon("token", "7", "--minutes", "5", folder=tmp_path)

    assert Signer.from_settings(Settings(jwt_secret_key=SECRET)).verify(done.stdout.strip()).uid == 7


def test_a_plan_is_explained(tmp_path: Path) -> None:
    done = fullon("explain", "{ symbols { nodes { symbol ticker { last } } } }", folder=tmp_path)

    assert done.exit_code == 0, done.stderr
    assert "symbols" in done.stdout
    assert "ticker" in done.stdout


def test_a_schema_that_breaks_clients_is_told_and_fails(tmp_path: Path) -> None:
    printed = fullon("schema", folder=tmp_path).stdout
    (tmp_path / "same.graphql").write_text(printed)
    (tmp_path / "older.graphql").write_text(printed.replace("type Query {", "type Query {\n  gone: Int\n", 1))

    same = fullon("schema", "--against", str(tmp_path / "same.graphql"), folder=tmp_path)
    assert (same.exit_code, same.stdout) == (0, "nothing that a client would notice\n")
    broken = fullon("schema", "--against", str(tmp_path / "older.graphql"), folder=tmp_path)
    assert (broken.exit_code, "Query.gone" in broken.stdout) == (1, True), broken.stdout


def test_a_run_is_explained_with_its_statements_and_without_their_values(tmp_path: Path) -> None:
    asked = '{ symbols(exchange: "secret") { nodes { symbol ticker { last } } } }'
    done = fullon("explain", asked, "--run", folder=tmp_path)
    assert done.exit_code == 0, done.stderr
    run = done.stdout.partition("run by plan")[2]
    assert "FROM symbols" in run
    assert "secret" not in run
    assert "symbols.backtest" not in run

    refused = fullon("explain", 'mutation { logout(input: { refreshToken: "x" }) { done } }', "--run", folder=tmp_path)
    assert refused.exit_code == 1
    unknown = fullon("explain", "{ me { mail } }", "--run", "--as", "no@body", folder=tmp_path)
    assert (unknown.exit_code, "no user has the mail" in str(unknown.exception)) == (1, True)


def test_market_data_goes_in_and_comes_out_as_it_was(tmp_path: Path) -> None:
    recorded = tmp_path / "trades.csv"
    rows = [f"{1_700_000_000_000 + 1_000 * n},{n},{100 + n % 7}.{n % 10},0.{n % 9 + 1},buy" for n in range(1, 300)]
    recorded.write_text("\n".join(["ts_ms,trade_id,price,amount,taker_side", *rows, "oops,1,1,1,buy"]) + "\n")
    words = ("import", str(recorded), "--exchange", "kraken", "--symbol", "BTC/USD")

    tried = fullon(*words, "--dry-run", folder=tmp_path)
    assert "read 300, good 299, repeated 0, refused 1" in tried.stdout, tried.output
    assert "line 301" in tried.stdout
    done = fullon(*words, folder=tmp_path)
    assert "read 300, stored 299, repeated 0, refused 1" in done.stdout, done.output
    again = fullon(*words, "--restart", folder=tmp_path)
    assert "stored 0, repeated 299" in again.stdout, again.output

    out = tmp_path / "out.parquet"
    assert fullon("export", "kraken", "BTC/USD", str(out), folder=tmp_path).exit_code == 0
    other = tmp_path / "other"
    back = fullon("import", str(out), "--exchange", "kraken", "--symbol", "BTC/USD", folder=other)
    assert "read 299, stored 299" in back.stdout, back.output

    missing = fullon("export", "kraken", "NOT/THERE", str(out), folder=tmp_path)
    assert missing.exit_code == 1 or "nothing is stored" in str(missing.exception)
    wrong = fullon("export", "kraken", "BTC/USD", str(out), "--timeframe", "7m", folder=tmp_path)
    assert "must be one of 1m" in str(wrong.exception)


def test_a_bad_setting_is_said_and_not_traced(tmp_path: Path) -> None:
    env = os.environ | {"PORT": "not a port", "DATA_DIR": str(tmp_path)}

    done = subprocess.run(
        [sys.executable, "-m", "fullon_master_api", "serve"], env=env, capture_output=True, text=True, timeout=250, check=False
    )

    assert done.returncode != 0
    assert "PORT" in done.stderr
    assert "Traceback" not in done.stderr


def test_documents_are_trusted_listed_and_removed(tmp_path: Path) -> None:
    text = "query Me { me { mail } }\n"
    other = "{ me { name } }"
    (tmp_path / "me.graphql").write_text(text)
    (tmp_path / "relay.json").write_text(json.dumps({sha256(other.encode()).hexdigest(): other}))
    apollo: dict[str, Any] = {"format": "apollo-persisted-query-manifest", "version": 1, "operations": []}
    apollo["operations"] = [{"id": sha256(text.encode()).hexdigest(), "name": "Me", "type": "query", "body": text}]
    (tmp_path / "apollo.json").write_text(json.dumps(apollo))

    added = fullon("documents", "add", *(str(tmp_path / name) for name in ("me.graphql", "relay.json")), folder=tmp_path)
    assert added.exit_code == 0, added.stderr
    assert added.stdout.splitlines()[-1] == "2 added, 0 were there"
    again = fullon("documents", "add", str(tmp_path / "apollo.json"), folder=tmp_path)
    assert again.stdout.splitlines()[-1] == "0 added, 1 were there"

    key = sha256(text.encode()).hexdigest()
    listed = fullon("documents", "list", folder=tmp_path).stdout.splitlines()
    assert listed == sorted([f"{key}  Me", f"{sha256(other.encode()).hexdigest()}  relay"])
    assert fullon("documents", "remove", f"sha256:{key}", folder=tmp_path).stdout == "removed 1\n"
    gone = fullon("documents", "remove", key, folder=tmp_path)
    assert (gone.exit_code, "were not there" in gone.stderr) == (1, True)
    assert len(fullon("documents", "list", folder=tmp_path).stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("bad.graphql", "{ me {", "Syntax Error"),
        ("bad.graphql", "{ nothing }", "Cannot query field 'nothing' on type 'Query'. (at 1:3)"),
        ("bad.json", "{", "is not JSON"),
        ("bad.json", '{"abc": "{ me { mail } }"}', "is not the SHA-256 of its text"),
        ("bad.json", "[1]", "must hold an object"),
    ],
)
def test_a_document_that_could_not_run_is_not_trusted_and_nothing_is_added(
    tmp_path: Path, name: str, text: str, told: str
) -> None:
    (tmp_path / "good.graphql").write_text("{ me { mail } }")
    (tmp_path / name).write_text(text)
    done = fullon("documents", "add", str(tmp_path / "good.graphql"), str(tmp_path / name), folder=tmp_path)

    assert (done.exit_code, told in done.stderr) == (1, True), done.stderr
    assert fullon("documents", "list", folder=tmp_path).stdout == "no trusted documents\n"
