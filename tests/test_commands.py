"""The command `fullon`: its help, and what its commands do to a store."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fullon_master_api.auth.jwt import verify_token
from fullon_master_api.cli import cli
from fullon_master_api.settings import Settings

SECRET = "a secret that is long enough to sign with"


def fullon(*words: str, folder: Path, typed: str | None = None) -> Result:
    """The command in this process: `exit_code`, `stdout`, `stderr`."""
    env = {"DATA_DIR": str(folder), "JWT_SECRET_KEY": SECRET, "NO_COLOR": "1", "COLUMNS": "120", "TERM": "dumb"}
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
        ("user",),
        ("user", "add"),
        ("token",),
        ("schema",),
        ("explain",),
    ],
)
def test_every_command_says_what_it_does(words: tuple[str, ...], tmp_path: Path) -> None:
    done = fullon(*words, "--help", folder=tmp_path)

    assert done.exit_code == 0, done.stderr
    assert "Usage" in done.stdout


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


def test_migrations_go_up_and_down_and_say_where_they_are(tmp_path: Path) -> None:
    assert "no tables" in fullon("migrate", "status", folder=tmp_path).stdout
    assert fullon("migrate", "up", folder=tmp_path).exit_code == 0
    newest = fullon("migrate", "status", folder=tmp_path).stdout
    assert fullon("migrate", "down", folder=tmp_path).exit_code == 0

    assert fullon("migrate", "status", folder=tmp_path).stdout != newest


def test_a_token_is_good_for_the_server_of_the_same_secret(tmp_path: Path) -> None:
    done = fullon("token", "7", "--minutes", "5", folder=tmp_path)

    assert verify_token(done.stdout.strip(), settings=Settings(jwt_secret_key=SECRET)).uid == 7


def test_a_plan_is_explained(tmp_path: Path) -> None:
    done = fullon("explain", "{ symbols { nodes { symbol ticker { last } } } }", folder=tmp_path)

    assert done.exit_code == 0, done.stderr
    assert "symbols" in done.stdout
    assert "ticker" in done.stdout


def test_a_bad_setting_is_said_and_not_traced(tmp_path: Path) -> None:
    env = os.environ | {"PORT": "not a port", "DATA_DIR": str(tmp_path)}

    done = subprocess.run(
        [sys.executable, "-m", "fullon_master_api", "serve"], env=env, capture_output=True, text=True, timeout=100, check=False
    )

    assert done.returncode != 0
    assert "PORT" in done.stderr
    assert "Traceback" not in done.stderr
