"""Logs are one JSON object or one line per event, name their request, and hide what is secret."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from fullon_master_api.logs import TELLING, configure_bare_logs, configure_logs, get_logger


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root, ours = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    names = {"uvicorn", "uvicorn.error", "uvicorn.access", "alembic", "sqlalchemy", "ccxt", *TELLING}
    libraries = [(logger, logger.handlers[:], logger.propagate, logger.level) for logger in map(logging.getLogger, names)]
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    for logger, before, propagate, library_level in libraries:
        logger.handlers[:], logger.propagate = before, propagate
        logger.setLevel(library_level)
    structlog.configure(**ours)  # As the tests of every later file have it.
    structlog.contextvars.clear_contextvars()


def test_an_event_is_one_json_object_with_its_values_and_what_was_bound(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(level="INFO", json=True, colors=False)
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        get_logger("fullon.test").info("ticker.stored", exchange="kraken", lag_ms=3)
    event = json.loads(capsys.readouterr().err)
    assert event.pop("timestamp").endswith("Z")
    assert event == {
        "event": "ticker.stored", "exchange": "kraken", "lag_ms": 3, "request_id": "r1", "level": "info", "logger": "fullon.test",
    }  # fmt: skip


def test_the_log_of_a_library_goes_the_same_way(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(level="INFO", json=True, colors=False)
    logging.getLogger("uvicorn.error").warning("late %s", "again")
    event = json.loads(capsys.readouterr().err)
    assert (event["event"], event["logger"], event["level"]) == ("late again", "uvicorn.error", "warning")


@pytest.mark.parametrize("name", ["password", "jwt_secret_key", "access_token", "Authorization", "api_key", "cookie", "f2a"])
def test_a_value_whose_name_says_secret_is_blanked(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(level="INFO", json=True, colors=False)
    get_logger("fullon.test").info("login.failed", **{name: "hunter2"})
    text = capsys.readouterr().err
    assert "hunter2" not in text
    assert json.loads(text)[name] == "***"


def test_a_secret_inside_a_value_is_blanked_too(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(level="INFO", json=True, colors=False)
    get_logger("fullon.test").info(
        "request", headers={"Authorization": "Bearer hunter2", "Accept": "*/*"}, sent=[{"password": "hunter2"}]
    )
    event = json.loads(capsys.readouterr().err)
    assert event["headers"] == {"Authorization": "***", "Accept": "*/*"}
    assert event["sent"] == [{"password": "***"}]


def test_what_is_below_the_level_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(level="WARNING", json=True, colors=False)
    get_logger("fullon.test").info("ticker.stored")
    assert capsys.readouterr().err == ""


def test_an_error_is_written_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(level="INFO", json=True, colors=False)
    try:
        raise ValueError("half a message")
    except ValueError:
        get_logger("fullon.test").exception("feed.failed")
    event = json.loads(capsys.readouterr().err)
    assert event["exception"].splitlines()[-1] == "ValueError: half a message"


@pytest.mark.parametrize("level", ["DEBUG", "INFO"])
@pytest.mark.parametrize("name", ["ccxt.base.exchange", "aiosqlite", "sqlalchemy.engine.Engine", "websockets.client", "asyncpg"])
def test_what_libraries_say_below_a_warning_is_not_written_since_it_holds_what_they_send(
    name: str, level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs(level=level, json=True, colors=False)

    logging.getLogger(name).debug("headers %s", {"API-Sign": "hunter2"})
    logging.getLogger(name).info("values %s", ("hunter2",))
    logging.getLogger(name).warning("connection lost")
    get_logger("fullon.test").info("ours")

    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["connection lost", "ours"]


def test_a_program_that_set_up_no_logs_is_shown_no_locals_of_a_fault(capsys: pytest.CaptureFixture[str]) -> None:
    def log_in(password: str) -> None:
        raise ValueError(f"{len(password)} characters")

    structlog.reset_defaults()
    configure_bare_logs()
    try:
        log_in("hunter" * 2)  # Spelled so that the line itself does not show it.
    except ValueError:
        get_logger("fullon.test").exception("login.failed", api_key="hunter3")

    shown = capsys.readouterr().out
    assert "12 characters" in shown
    assert "hunterhunter" not in shown
    assert "hunter3" not in shown


def test_the_file_gets_json_even_when_the_console_is_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "logs" / "fullon.jsonl"
    configure_logs(level="INFO", json=False, colors=True, file=file, rotation="1 KB", retention="2 days")
    for number in range(30):
        get_logger("fullon.test").info("ticker.stored", number=number)
    last = json.loads(file.read_text(encoding="utf-8").splitlines()[-1])
    assert last["number"] == 29
    assert {path.name for path in file.parent.iterdir()} == {"fullon.jsonl", "fullon.jsonl.1", "fullon.jsonl.2"}
    console = capsys.readouterr().err
    assert "ticker.stored" in console
    assert "\x1b[" not in console  # Colours only where a terminal is at the other end.


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"rotation": "a lot"}, "LOG_ROTATION was 'a lot', must be a size as '100 MB'"),
        ({"retention": "some"}, "LOG_RETENTION was 'some'"),
    ],
)
def test_a_bad_size_or_count_is_refused(values: dict[str, str], problem: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=problem):
        configure_logs(
            level="INFO",
            json=False,
            colors=False,
            file=tmp_path / "log",
            rotation=values.get("rotation", "1 MB"),
            retention=values.get("retention", "1"),
        )
