"""What holds for every test: a logged exception is printed plainly; with all its locals it would take longer than its test."""

from __future__ import annotations

import structlog

structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)
