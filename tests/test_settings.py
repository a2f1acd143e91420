"""Every setting changes something, is documented, and is safe until someone decides otherwise."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from pydantic import AliasChoices, SecretStr, ValidationError

from fullon_master_api.settings import Settings

ROOT: Final = Path(__file__).parent.parent
DOCUMENT: Final = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")

# The variables of the original platform, each with a value that is not its default here.
ORIGINAL: Final = {
    "API_TITLE": "Desk",
    "API_VERSION": "9.9.9",
    "API_PREFIX": "/desk",
    "API_DESCRIPTION": "ours",
    "HOST": "127.0.0.2",
    "PORT": "8123",
    "RELOAD": "true",
    "JWT_SECRET_KEY": "x" * 40,
    "JWT_ALGORITHM": "HS512",
    "JWT_EXPIRATION_MINUTES": "5",
    "ENABLE_API_KEY_AUTH": "false",
    "API_KEY_HEADER_NAME": "X-Desk-Key",
    "ADMIN_MAIL": "root@desk",
    "CORS_ORIGINS": '["https://desk.example"]',
    "CORS_ALLOW_CREDENTIALS": "true",
    "CORS_ALLOW_METHODS": "GET",
    "CORS_ALLOW_HEADERS": '["Authorization"]',
    "LOG_LEVEL": "DEBUG",
    "LOG_FORMAT": "json",
    "LOG_CONSOLE": "false",
    "LOG_COLORS": "false",
    "LOG_FILE_PATH": "fullon.jsonl",
    "LOG_ROTATION": "1 MB",
    "LOG_RETENTION": "2 days",
    "HEALTH_MONITOR_ENABLED": "false",
    "HEALTH_CHECK_INTERVAL_SECONDS": "7",
    "HEALTH_STALE_PROCESS_THRESHOLD_MINUTES": "2",
    "HEALTH_AUTO_RESTART_ENABLED": "false",
    "HEALTH_AUTO_RESTART_COOLDOWN_SECONDS": "1",
    "HEALTH_AUTO_RESTART_MAX_PER_HOUR": "2",
    "HEALTH_SERVICES_TO_MONITOR": '["ticker"]',
    "HEALTH_ENABLE_PROCESS_CACHE_CHECKS": "false",
    "HEALTH_ENABLE_DATABASE_CHECKS": "false",
    "HEALTH_ENABLE_REDIS_CHECKS": "false",
    "SERVICE_AUTO_START_ENABLED": "false",
    "SERVICES_TO_AUTO_START": '["ticker"]',
    "DB_HOST": "db.example",
    "DB_PORT": "6543",
    "DB_USER": "fullon",
    "DB_PASSWORD": "secret",
    "DB_NAME": "fullon2",
    "DB_OHLCV_NAME": "fullon2_ohlcv",
    "DB_TEST_NAME": "test",
    "DATABASE_URL": "postgresql://desk/fullon",
    "DB_POOL_SIZE": "3",
    "DB_POOL_MAX_OVERFLOW": "4",
    "DB_POOL_PRE_PING": "false",
    "DB_POOL_RECYCLE": "5",
    "DB_POOL_TIMEOUT": "6",
    "DB_SHARED_POOL_SIZE": "40",
    "DB_SHARED_POOL_MAX_OVERFLOW": "60",
    "CACHE_HOST": "redis.example",
    "CACHE_PORT": "6380",
    "CACHE_DB": "1",
    "CACHE_USER": "desk",
    "CACHE_PASSWORD": "secret",
    "CACHE_TIMEOUT": "30",
    "CACHE_LOG": "15",
    "CACHE_ENABLED": "false",
    "CACHE_TTL_MULTIPLIER": "2",
    "CACHE_KEY_PREFIX": "desk",
    "CACHE_TEST_DB": "15",
    "REDIS_HOST": "redis.example",
    "REDIS_PORT": "6380",
    "REDIS_DB": "1",
    "REDIS_PASSWORD": "secret",
    "REDIS_USER": "desk",
    "REDIS_TIMEOUT": "30",
    "REDIS_MAX_CONNECTIONS": "5",
    "REDIS_SOCKET_TIMEOUT": "1",
    "REDIS_SOCKET_CONNECT_TIMEOUT": "1",
    "FULLON_CACHE_EVENT_LOOP": "uvloop",
    "FULLON_CACHE_AUTO_CONFIGURE": "false",
    "FULLON_CACHE_LOG_DIR": "logs",
    "UVLOOP_ENABLED": "false",
    "CCXT_TIMEOUT": "2",
    "USE_SANDBOX": "true",
    "WEBSOCKET_DEBUG": "true",
    "KRAKEN_RATE_LIMIT_PUBLIC": "1",
    "KRAKEN_RATE_LIMIT_PRIVATE": "1",
    "BITMEX_RATE_LIMIT_PUBLIC": "1",
    "BITMEX_RATE_LIMIT_PRIVATE": "1",
    "GOOGLE_CLOUD_PROJECT": "desk",
    "GOOGLE_APPLICATION_CREDENTIALS": "file.json",
    "GOOGLE_SECRET": "secret",
    "GOOGLE_CREDENTIALS": "file.json",
    "OHLCV_USER_ID": "2",
    "OHLCV_COLLECTION_INTERVAL": "5",
    "OHLCV_HEALTH_INTERVAL": "5",
    "OHLCV_HISTORICAL_LIMIT": "50",
    "OHLCV_ENABLE_STREAMING": "false",
    "OHLCV_ENABLE_HISTORICAL": "false",
    "OHLCV_TEST_MODE": "true",
    "TICKER_DAEMON_EXCHANGES": "kraken,bitmex",
    "TICKER_RECONNECT_DELAY": "1",
    "TICKER_MAX_RETRIES": "9",
    "ACCOUNT_POLL_INTERVAL": "1",
    "ACCOUNT_RECONNECT_DELAY": "1",
    "ACCOUNT_MAX_RETRIES": "9",
    "API_HOST": "127.0.0.2",
    "API_PORT": "9001",
    "API_RELOAD": "true",
    "FULLON_API_KEY": "key",
}
# What another variable has to allow first.
ALONGSIDE: Final = {"CORS_ALLOW_CREDENTIALS": {"CORS_ORIGINS": "https://desk.example"}}


def _names(field: str) -> list[str]:
    """The variables that set a field, its own name first."""
    alias = Settings.model_fields[field].validation_alias
    return [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else [field.upper()]


VARIABLES: Final = {field: _names(field) for field in Settings.model_fields}


def _tables(heading_level: str = "## ") -> Iterator[tuple[str, list[str]]]:
    """(heading, cells) of every row of the document's tables."""
    heading = ""
    for line in DOCUMENT.splitlines():
        if line.startswith(heading_level):
            heading = line.removeprefix(heading_level)
        elif line.startswith("| `"):
            yield heading, [cell.strip() for cell in line.strip("|").split(" | ")]


RETIRED: Final = {cells[0].strip("`"): cells[1] for heading, cells in _tables() if heading == "Retired"}
DOCUMENTED: Final = {
    cells[0].strip("`"): cells[1:] for heading, cells in _tables() if heading != "Retired" and not heading.startswith("Defaults")
}


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [*ORIGINAL, *(name for names in VARIABLES.values() for name in names)]:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.chdir(tmp_path)


def _text(value: Any) -> str:
    """A default as it is written in the documents."""
    if value is None or value == []:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(value)
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return str(value)


# ---- each variable does something --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ORIGINAL)
def test_a_variable_of_the_original_changes_a_setting_or_is_retired(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for other, value in ALONGSIDE.get(name, {}).items():
        monkeypatch.setenv(other, value)
    before = Settings()
    monkeypatch.setenv(name, ORIGINAL[name])
    if name in RETIRED:
        assert before == Settings(), f"{name} is listed as retired and changes a setting"
        assert RETIRED[name].endswith((".", "`"))
    else:
        assert before != Settings(), f"{name} changes nothing: use it, or list it as retired in docs/settings.md"


def test_credentials_of_an_account_come_from_the_environment_and_only_as_a_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EX_ID_7_KEY", "key")
    assert Settings().exchange_credentials(7) is None
    monkeypatch.setenv("EX_ID_7_SECRET", "secret")
    assert Settings().exchange_credentials(7) == ("key", "secret")
    assert Settings().exchange_credentials(8) is None


def test_no_setting_is_a_lie_that_no_code_reads() -> None:
    modules = (ROOT / "src" / "fullon_master_api").rglob("*.py")
    text = "\n".join(path.read_text(encoding="utf-8") for path in modules)
    uses = {field: len(re.findall(rf"\.{field}\b", text)) for field in VARIABLES}
    assert [field for field, count in uses.items() if count == 0] == []


# ---- each variable is documented ---------------------------------------------------------------------------------------


def test_the_tables_name_each_variable_with_its_default() -> None:
    defaults = {names[0]: _text(Settings.model_fields[field].get_default()) for field, names in VARIABLES.items()}
    assert {name: cells[0].strip("`") for name, cells in DOCUMENTED.items()} == defaults


def test_the_tables_name_each_other_spelling_of_a_variable() -> None:
    others = {names[0]: names[1:] for names in VARIABLES.values()}
    told = {
        name: re.findall(r"`(\w+)`", cells[1].split("Also read:")[1]) if "Also read:" in cells[1] else []
        for name, cells in DOCUMENTED.items()
    }
    assert told == others


def test_the_example_file_has_a_line_for_each_variable_and_changes_nothing(tmp_path: Path) -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    told = dict(line.removeprefix("# ").split("=", 1) for line in lines if re.match(r"# [A-Z][A-Z0-9_]*=", line))
    assert told == {name: cells[0].strip("`") for name, cells in DOCUMENTED.items()}
    (tmp_path / ".env").write_text("\n".join(f"{name}={value}" for name, value in told.items()), encoding="utf-8")
    assert Settings() == Settings(_env_file=None)


# ---- safe until someone decides otherwise ------------------------------------------------------------------------------


def test_without_a_setting_nobody_outside_can_reach_or_forge_anything() -> None:
    settings = Settings()
    assert settings.host == "127.0.0.1"
    assert settings.jwt_secret_key is None
    assert settings.weak_secret() == "JWT_SECRET_KEY is not set"
    assert (settings.cors_origins, settings.cors_allow_credentials) == ([], False)


@pytest.mark.parametrize(
    ("secret", "why"),
    [
        ("dev-secret-key-change-in-production", "JWT_SECRET_KEY is the published default"),
        ("x" * 31, "JWT_SECRET_KEY has 31 bytes, at least 32 are needed"),
        ("x" * 32, None),
        ("é" * 16, None),
    ],
)
def test_a_published_or_short_secret_is_found_weak(secret: str, why: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_SECRET_KEY", secret)
    assert Settings().weak_secret() == why


def test_no_secret_shows_when_settings_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "JWT_SECRET_KEY",
        "DATABASE_URL",
        "OHLCV_DATABASE_URL",
        "DB_PASSWORD",
        "REDIS_PASSWORD",
        "REDIS_URL",
        "CREDENTIALS_KEY",
    ):
        monkeypatch.setenv(name, "hunter2-hunter2-hunter2-hunter2-hunter2")
    assert "hunter2" not in repr(Settings())
    assert "hunter2" not in str(Settings().model_dump())


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({"CORS_ORIGINS": "*", "CORS_ALLOW_CREDENTIALS": "true"}, "name the origins"),
        (
            {"SERVICES_TO_AUTO_START": "ticker,tickers"},
            "unknown service 'tickers'; known are ticker, ohlcv, account, health_monitor",
        ),
        ({"JWT_ALGORITHM": "none"}, "HS256"),
        ({"PORT": "65536"}, "65535"),
        ({"REDIS_DB": "16"}, "15"),
        ({"WORKERS": "0"}, "1"),
    ],
)
def test_a_bad_value_stops_the_start_and_says_what_is_allowed(
    variables: dict[str, str], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=re.escape(problem)):
        Settings()


# ---- what settings become ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "orm", "ohlcv"),
    [
        ({"DATA_DIR": "/data"}, "sqlite+aiosqlite:////data/fullon.db", "sqlite+aiosqlite:////data/ohlcv.db"),
        (
            {"DB_NAME": "a", "DB_OHLCV_NAME": "b", "DB_PASSWORD": "p@ss/word"},
            "postgresql+asyncpg://postgres:p%40ss%2Fword@localhost:5432/a",
            "postgresql+asyncpg://postgres:p%40ss%2Fword@localhost:5432/b",
        ),
        (
            {"DATABASE_URL": "postgres://u@h/a", "OHLCV_DATABASE_URL": "postgresql+psycopg://u@h/b", "DB_NAME": "ignored"},
            "postgresql+asyncpg://u@h/a",
            "postgresql+asyncpg://u@h/b",
        ),
    ],
)
def test_the_stores_are_found_by_url_then_by_parts_then_in_the_data_folder(
    variables: dict[str, str], orm: str, ohlcv: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert (Settings().orm_url, Settings().ohlcv_url) == (orm, ohlcv)


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({}, "memory://"),
        ({"REDIS_PASSWORD": "p"}, "memory://"),
        ({"CACHE_HOST": "h"}, "redis://h:6379/0"),
        ({"REDIS_HOST": "h", "REDIS_PASSWORD": "p@s", "REDIS_DB": "3"}, "redis://:p%40s@h:6379/3"),
        ({"REDIS_HOST": "h", "REDIS_USER": "u", "REDIS_PASSWORD": "p"}, "redis://u:p@h:6379/0"),
        ({"REDIS_URL": "rediss://h/1", "REDIS_HOST": "ignored"}, "rediss://h/1"),
    ],
)
def test_the_bus_is_in_process_until_redis_is_named(variables: dict[str, str], url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Settings().bus_url == url


def test_the_environment_goes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("PORT=8001\nAPI_TITLE=from the file\n", encoding="utf-8")
    monkeypatch.setenv("PORT", "8002")
    assert (Settings().port, Settings().api_title) == (8002, "from the file")
