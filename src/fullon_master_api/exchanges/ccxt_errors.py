"""What ccxt's errors mean to us: gone, refused, or denied."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import ccxt

from fullon_master_api.errors import ExchangeDenied, ExchangeRefused, ExchangeUnavailable, GatewayError

MESSAGE_MAX: Final = 300
DENIED_TEXTS: Final = ("EAPI:Invalid signature", "EAPI:Invalid key", "EGeneral:Permission denied", "ESession:Invalid session")
UNAVAILABLE_TEXTS: Final = ("EService:", "EGeneral:Internal error", "EAPI:Invalid nonce", "Rate limit exceeded", "maintenance")
"""Kraken's own codes. ccxt has no row for `Invalid signature`, and matches some others only by their exact text."""

_QUERY: Final = re.compile(r"\?\S+")


def translated(error: Exception, exchange: str) -> GatewayError:
    """Our error for one of ccxt's: `ExchangeDenied`, `ExchangeUnavailable` (try later) or `ExchangeRefused` (never)."""
    text = f"{exchange}: {readable(error)}"
    if isinstance(error, ccxt.AuthenticationError) or any(known in text for known in DENIED_TEXTS):
        return ExchangeDenied(text)  # PermissionDenied and AccountSuspended are AuthenticationErrors of ccxt.
    if isinstance(error, (ccxt.NetworkError, TimeoutError, ConnectionError)) or any(known in text for known in UNAVAILABLE_TEXTS):
        return ExchangeUnavailable(text)
    if isinstance(error, (ccxt.BadResponse, ccxt.ExchangeClosedByUser)):
        return ExchangeUnavailable(text)
    return ExchangeRefused(text)


def readable(error: Exception) -> str:
    """The error's text without the query of its URL: that may hold a key and a signature."""
    text = _QUERY.sub("", str(error) or type(error).__name__)
    return text[:MESSAGE_MAX]


@contextmanager
def exchange_errors(exchange: str) -> Iterator[None]:
    """Whatever ccxt raises inside leaves as one of ours."""
    try:
        yield
    except (ccxt.BaseError, TimeoutError, ConnectionError) as error:
        raise translated(error, exchange) from error
