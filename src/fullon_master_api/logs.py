"""Structured logs: a fixed event name, then values; a request id and a service name bound at the edge."""

from __future__ import annotations

import logging
import logging.handlers
import re
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any, Final

import structlog

SECRET_WORDS: Final = re.compile(r"(password|secret|token|authorization|api_?key|cookie|f2a)", re.IGNORECASE)
TELLING: Final = ("ccxt", "aiosqlite", "asyncpg", "sqlalchemy", "websockets", "aiohttp", "redis")
"""Libraries whose words below a warning hold what they send: signed headers, tokens of sockets, statements with their values."""
SIZES: Final = {"KB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000}

Logger = structlog.stdlib.BoundLogger


def get_logger(name: str) -> Logger:
    """Logger of a module: `log = get_logger(__name__)`."""
    logger: Logger = structlog.stdlib.get_logger(name)
    return logger


def hide_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Blank every value whose name says that it is a secret, so that a careless call cannot leak one."""
    for key, value in event.items():
        event[key] = _blanked(key, value)
    return event


def _blanked(key: object, value: Any) -> Any:
    """The value, or `***` where its key says secret; so for every key inside mappings and lists too."""
    if value is not None and SECRET_WORDS.search(str(key)):
        return "***"
    if isinstance(value, Mapping):
        return {inner: _blanked(inner, item) for inner, item in value.items()}
    if isinstance(value, list | tuple):
        return [_blanked("", item) for item in value]
    return value


def configure_bare_logs() -> None:
    """For a program that set up no logs before it opened the gateway: structlog's own way shows the locals of each traceback."""
    if not structlog.is_configured():
        render = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        structlog.configure(
            processors=[
                structlog.contextvars.merge_contextvars,
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                hide_secrets,
                render,
            ]
        )


def configure_logs(
    *,
    level: str,
    json: bool,
    colors: bool,
    console: bool = True,
    file: Path | None = None,
    rotation: str = "100 MB",
    retention: str = "7 days",
) -> None:
    """Send all logs, our own and the libraries', through one set of processors to standard error and, if named, a file."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        hide_secrets,
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handlers: list[logging.Handler] = []
    if console:
        handlers.append(_handler(logging.StreamHandler(sys.stderr), shared, json=json, colors=colors and sys.stderr.isatty()))
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        rotating = logging.handlers.RotatingFileHandler(
            file, maxBytes=_bytes(rotation), backupCount=_count(retention), encoding="utf-8"
        )
        handlers.append(_handler(rotating, shared, json=True, colors=False))
    root = logging.getLogger()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "alembic", "sqlalchemy", "ccxt"):
        library = logging.getLogger(name)
        library.handlers[:] = []
        library.propagate = True
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)
    for name in TELLING:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def _handler(handler: logging.Handler, shared: list[Any], *, json: bool, colors: bool) -> logging.Handler:
    render: Any = structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(colors=colors)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render]
        )
    )
    return handler


def _bytes(text: str) -> int:
    """`"100 MB"` as bytes."""
    match = re.fullmatch(r"\s*(\d+)\s*(KB|MB|GB)\s*", text, re.IGNORECASE)
    if match is None:
        raise ValueError(f"LOG_ROTATION was {text!r}, must be a size as '100 MB'")
    return int(match[1]) * SIZES[match[2].upper()]


def _count(text: str) -> int:
    """`"7 days"` as the number of rotated files that are kept."""
    match = re.fullmatch(r"\s*(\d+)\s*(days?|files?)?\s*", text, re.IGNORECASE)
    if match is None:
        raise ValueError(f"LOG_RETENTION was {text!r}, must be a number of files as '7 days'")
    return int(match[1])
