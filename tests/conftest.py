"""What holds for every test: files that take long begin first, and a logged exception is printed plainly."""

from __future__ import annotations

from typing import Final

import pytest
import structlog

LONG: Final = (
    "tests/executor/test_law.py",
    "tests/web/test_dashboard_in_browser.py",
    "tests/services/test_ohlcv.py",
    "tests/web/test_graphiql_in_browser.py",
)
"""Begun last they keep one process busy while the other has nothing left to do. (`make test` hands out whole files.)"""

# Drawn with all locals, as structlog does by default, a traceback can take longer than the lease of the service that failed.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))
