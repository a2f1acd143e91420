"""What holds for every test: no clock over examples, files that take long first, a logged exception printed plainly."""

from __future__ import annotations

import os
import signal
from typing import Final

import pytest
import structlog
from hypothesis import HealthCheck, settings

LONG: Final = (
    "tests/executor/test_law.py",
    "tests/web/test_dashboard_in_browser.py",
    "tests/services/test_ohlcv.py",
    "tests/web/test_graphiql_in_browser.py",
)
"""Begun last they keep one process busy while the other has nothing left to do. (`make test` hands out whole files.)"""

# An example may be the one in which the machine did something else. CI draws the same examples each time, so what it says of a
# change does not hang on the draw; everybody else's run looks further.
settings.register_profile(
    "gateway", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=os.environ.get("PROFILE") == "ci"
)
settings.load_profile("gateway")

# A shell that runs the tests in its background has SIGINT ignored, and so would have every process that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Drawn with all locals, as structlog does by default, a traceback can take longer than the lease of the service that failed.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))
