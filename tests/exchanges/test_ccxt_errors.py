"""Which of our errors each of ccxt's becomes, and what must not be in its text."""

from __future__ import annotations

import asyncio

import ccxt
import pytest

from fullon_master_api.errors import ExchangeDenied, ExchangeRefused, ExchangeUnavailable, GatewayError
from fullon_master_api.exchanges.ccxt_errors import MESSAGE_MAX, exchange_errors, translated
from fullon_master_api.exchanges.kraken_wire import KrakenWire


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (ccxt.AuthenticationError("EAPI:Invalid key"), ExchangeDenied),
        (ccxt.ExchangeError('kraken {"error":["EAPI:Invalid signature"]}'), ExchangeDenied),  # plain at ccxt
        (ccxt.PermissionDenied("EGeneral:Permission denied"), ExchangeDenied),
        (ccxt.AccountSuspended("ETrade:User Locked"), ExchangeDenied),
        (ccxt.ExchangeError("ESession:Invalid session"), ExchangeDenied),
        (ccxt.InsufficientFunds("EOrder:Insufficient funds"), ExchangeRefused),
        (ccxt.InvalidOrder("EOrder:Order minimum not met"), ExchangeRefused),
        (ccxt.BadSymbol("no such"), ExchangeRefused),
        (ccxt.OrderNotFound("EOrder:Unknown order"), ExchangeRefused),
        (ccxt.NotSupported("never"), ExchangeRefused),
        (ccxt.ExchangeError("EQuery:Unknown asset pair"), ExchangeRefused),
        (ccxt.RequestTimeout("slow"), ExchangeUnavailable),
        (ccxt.ExchangeNotAvailable("EService:Unavailable"), ExchangeUnavailable),
        (ccxt.ExchangeError("EService:Market in cancel_only mode"), ExchangeUnavailable),
        (ccxt.OnMaintenance("later"), ExchangeUnavailable),
        (ccxt.DDoSProtection("EAPI:Rate limit exceeded"), ExchangeUnavailable),
        (ccxt.InvalidNonce("EAPI:Invalid nonce"), ExchangeUnavailable),
        (ccxt.BadResponse("half a page"), ExchangeUnavailable),
        (TimeoutError(), ExchangeUnavailable),
        (ConnectionResetError("gone"), ExchangeUnavailable),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else type(value).__name__,
)
def test_each_error_of_ccxt_is_one_of_ours(error: Exception, ours: type[GatewayError]) -> None:
    assert type(translated(error, "kraken")) is ours
    with pytest.raises(ours), exchange_errors("kraken"):
        raise error


def test_no_key_and_no_signature_of_a_signed_address_is_told() -> None:
    url = "binance GET https://api.binance.com/api/v3/account?timestamp=1&recvWindow=5000&signature=abcdef0123"
    told = translated(ccxt.RequestTimeout(url), "binance").message

    assert "signature" not in told
    assert "account" in told
    assert len(translated(ccxt.ExchangeError("x" * 10_000), "binance").message) <= MESSAGE_MAX + 20


def test_what_is_not_the_exchanges_fault_passes_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError), exchange_errors("kraken"):
        raise ZeroDivisionError
    with pytest.raises(asyncio.CancelledError), exchange_errors("kraken"):
        raise asyncio.CancelledError


@pytest.mark.parametrize("secret", ["not base64!", "ключ"])
async def test_a_secret_that_cannot_sign_is_a_refused_credential_and_is_not_told(secret: str) -> None:
    wire = KrakenWire({"apiKey": "key", "secret": secret})
    try:
        with pytest.raises(ExchangeDenied) as refused, exchange_errors("kraken"):
            await wire.privatePostBalance()
    finally:
        await wire.close()
    assert secret not in refused.value.message
