"""How an adapter is opened by the name of its exchange."""

from __future__ import annotations

from typing import Any, Final

import ccxt
import ccxt.pro

from fullon_master_api.errors import ExchangeRefused
from fullon_master_api.exchanges.adapter import ExchangeAdapter
from fullon_master_api.exchanges.binance import OPTIONS, BinanceExchange, BinanceWire, binance_urls
from fullon_master_api.exchanges.ccxt_exchange import CcxtExchange
from fullon_master_api.exchanges.ccxt_wire import ExactExchange
from fullon_master_api.exchanges.kraken import KrakenExchange
from fullon_master_api.exchanges.kraken_wire import KrakenWire

CLOSE_WAIT_MS: Final = 50  # ccxt waits this long for transports to close


def open_adapter(
    name: str,
    *,
    base_url: str | None,
    credentials: tuple[str, str] | None,
    timeout_s: float,
    stall_s: float,
    sandbox: bool,
) -> ExchangeAdapter:
    config: dict[str, Any] = {"number": str, "timeout": int(timeout_s * 1000), "enableRateLimit": base_url is None}
    if credentials is not None:
        config["apiKey"], config["secret"] = credentials
    if name == "kraken":
        if sandbox and base_url is None:
            raise ExchangeRefused("kraken has no sandbox for spot markets: use the paper exchange, by base_url")
        if base_url is not None:
            config["urls"] = {"api": kraken_urls(base_url)}
        return KrakenExchange(_prepared(KrakenWire(config)), timeout_s=timeout_s, stall_s=stall_s)
    stock = getattr(ccxt.pro, name, None) if name in ccxt.pro.exchanges else None
    if stock is None:
        raise ExchangeRefused(
            f"no exchange {name!r}; it must be one that ccxt {ccxt.__version__} can stream, as kraken or binance"
        )
    binance = name == "binance"
    if base_url is not None:
        if not binance:
            raise ExchangeRefused(f"{name} cannot be reached by a base_url; only kraken and binance can")
        config["urls"] = {"api": binance_urls(base_url)}
    if binance:
        config["options"] = dict(OPTIONS)
    wire_class = BinanceWire if binance else type(f"Exact{stock.__name__}", (ExactExchange, stock), {})
    wire = _prepared(wire_class(config))
    if sandbox and base_url is None:
        wire.set_sandbox_mode(True)
    if binance:
        return BinanceExchange(name, wire, timeout_s=timeout_s, stall_s=stall_s)
    return CcxtExchange(name, wire, timeout_s=timeout_s, stall_s=stall_s)


def _prepared(wire: Any) -> Any:
    wire.timeout_on_exit = CLOSE_WAIT_MS
    return wire


def kraken_urls(base_url: str) -> dict[str, Any]:
    """ccxt's URLs of Kraken at another place; `v2` stays in the path, because ccxt picks its ping by it."""
    base = base_url.rstrip("/")
    sockets = "ws" + base.removeprefix("http")
    return {
        "public": base,
        "private": base,
        "ws": {
            "public": f"{sockets}/ws",
            "private": f"{sockets}/ws-auth",
            "publicV2": f"{sockets}/ws/v2",
            "privateV2": f"{sockets}/ws-auth/v2",
        },
    }
