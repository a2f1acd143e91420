"""The assets and markets of the paper exchange, named, stepped and charged as Kraken does."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from fullon_master_api.exchanges.paper.catalogue import MORE_IN_EUR, OLD_NAMES, PRICES_USD, USD_IN_EUR
from fullon_master_api.model import Record

LOT_DECIMALS: Final = 8
FEES_TAKER: Final = ((0, 0.4), (10_000, 0.35), (50_000, 0.24), (100_000, 0.22), (250_000, 0.2), (500_000, 0.18))
FEES_MAKER: Final = ((0, 0.25), (10_000, 0.2), (50_000, 0.14), (100_000, 0.12), (250_000, 0.1), (500_000, 0.08))
"""Percent by traded volume of 30 days in USD; an account of the paper exchange stays in the first row."""

COST_LEAST: Final = 4.0  # worth of the smallest and of a usual order, in USD or EUR, where a market does not say
COST_USUAL: Final = 1_500.0


class Asset(Record, frozen=True, kw_only=True):
    """A currency under its three names: `name` on REST (`XXBT`), `altname` in pairs (`XBT`), `code` everywhere else (`BTC`)."""

    name: str
    altname: str
    code: str
    decimals: int
    display_decimals: int


class PaperMarket(Record, frozen=True, kw_only=True):
    """A market: prices are whole numbers of ticks of `pair_decimals`, quantities whole numbers of lots of `lot_decimals`."""

    pair: str  # the key on REST: "XXBTZUSD"
    altname: str  # "XBTUSD"
    symbol: str  # the name on WebSocket v2: "BTC/USD"
    base: Asset
    quote: Asset
    pair_decimals: int
    lot_decimals: int = LOT_DECIMALS
    quantity_min: str
    cost_min: str
    price_start: str  # where the generator's path begins
    quantity_usual: float  # a usual trade of the generator, in base units

    @property
    def ticks_in_unit(self) -> int:
        return int(10**self.pair_decimals)

    @property
    def lots_in_unit(self) -> int:
        return int(10**self.lot_decimals)

    @property
    def taker_fee(self) -> Decimal:
        return Decimal(str(FEES_TAKER[0][1])) / 100

    @property
    def maker_fee(self) -> Decimal:
        return Decimal(str(FEES_MAKER[0][1])) / 100

    def price_text(self, ticks: int) -> str:
        return scaled_text(ticks, self.pair_decimals)

    def quantity_text(self, lots: int) -> str:
        return scaled_text(lots, self.lot_decimals)

    def rest_price(self, text: str) -> str:
        """A price as Kraken's REST spells it: at least five digits behind the point."""
        whole, _, part = text.partition(".")
        return f"{whole}.{part:0<5}"

    def names(self) -> tuple[str, ...]:
        """Every spelling under which REST takes this market."""
        return (self.pair, self.altname, self.symbol, f"{self.base.altname}/{self.quote.altname}")


def scaled_text(number: int, decimals: int) -> str:
    """A whole number of steps in plain notation: 1234 with 3 decimals is "1.234"."""
    sign = "-" if number < 0 else ""
    whole, part = divmod(abs(number), 10**decimals)
    return f"{sign}{whole}.{part:0{decimals}d}" if decimals else f"{sign}{whole}"


def scaled(text: str, decimals: int) -> int:
    """Plain or scientific text as a whole number of steps; digits behind the last step are refused.

    Raises: ValueError when the text is no number, or is finer than the step.
    """
    try:
        number = Decimal(text).scaleb(decimals)
        whole = int(number)
    except (ArithmeticError, ValueError) as error:  # int() of NaN is a ValueError, of Infinity an OverflowError.
        raise ValueError(f"{text!r} is not a number") from error
    if whole != number:
        raise ValueError(f"{text!r} has more than {decimals} digits behind the point")
    return whole


def _asset(name: str, altname: str, code: str, decimals: int, display: int) -> Asset:
    return Asset(name=name, altname=altname, code=code, decimals=decimals, display_decimals=display)


_XBT = _asset("XXBT", "XBT", "BTC", 10, 5)
_ETH = _asset("XETH", "ETH", "ETH", 10, 5)
_SOL = _asset("SOL", "SOL", "SOL", 10, 5)
_XRP = _asset("XXRP", "XRP", "XRP", 8, 5)
_USD = _asset("ZUSD", "USD", "USD", 4, 2)
_EUR = _asset("ZEUR", "EUR", "EUR", 4, 2)
_USDT = _asset("USDT", "USDT", "USDT", 8, 4)

_MORE: Final = {code: _asset(*OLD_NAMES.get(code, (code, code)), code, 8, 5) for code, _ in PRICES_USD}

ASSETS: Final = (_XBT, _ETH, _SOL, _XRP, _USD, _EUR, _USDT, *_MORE.values())


def _market(pair: str, base: Asset, quote: Asset, decimals: int, least: str, cost: str, price: str, usual: float) -> PaperMarket:
    return PaperMarket(
        pair=pair,
        altname=base.altname + quote.altname,
        symbol=f"{base.code}/{quote.code}",
        base=base,
        quote=quote,
        pair_decimals=decimals,
        quantity_min=least,
        cost_min=cost,
        price_start=price,
        quantity_usual=usual,
    )


MARKETS: Final = (
    _market("XXBTZUSD", _XBT, _USD, 1, "0.00005", "0.5", "104000.0", 0.02),
    _market("XETHZUSD", _ETH, _USD, 2, "0.001", "0.5", "3500.00", 0.5),
    _market("SOLUSD", _SOL, _USD, 2, "0.02", "0.5", "165.00", 8.0),
    _market("XXRPZUSD", _XRP, _USD, 5, "1.65", "0.5", "2.40000", 400.0),
    _market("XXBTZEUR", _XBT, _EUR, 1, "0.00005", "0.45", "89500.0", 0.02),
    _market("XBTUSDT", _XBT, _USDT, 1, "0.00005", "0.5", "104010.0", 0.015),
    _market("ETHUSDT", _ETH, _USDT, 2, "0.001", "0.5", "3501.00", 0.4),
    _market("XETHXXBT", _ETH, _XBT, 5, "0.001", "0.00002", "0.03365", 0.8),
)
"""The markets that are always there."""


def _derived(base: Asset, quote: Asset, price: str) -> PaperMarket:
    """A market of which only the price is known: the step is the price's, quantities are worth what they usually are."""
    old = base.name != base.altname and base.altname != "XDG"  # XLTCZUSD, but XDGUSD and ADAUSD
    pair = (base.name + quote.name) if old else (base.altname + quote.altname)
    decimals = len(price.partition(".")[2])
    least = f"{Decimal(f'{COST_LEAST / float(price):.0e}'):f}"
    return _market(pair, base, quote, decimals, least, "0.5", price, COST_USUAL / float(price))


def _in_eur(price_usd: str) -> str:
    return f"{float(price_usd) * USD_IN_EUR:.{len(price_usd.partition('.')[2])}f}"


CATALOGUE: Final = (
    *MARKETS,
    *(_derived(_MORE[code], _USD, price) for code, price in PRICES_USD),
    *(_derived(base, _EUR, _in_eur(price)) for base, price in ((_ETH, "3500.00"), (_SOL, "165.00"), (_XRP, "2.40000"))),
    *(_derived(_MORE[code], _EUR, _in_eur(price)) for code, price in PRICES_USD[:MORE_IN_EUR]),
)
"""Every market that a source may move: a hundred. The ones beyond `MARKETS` are there when a source names them."""


def find_asset(name: str) -> Asset | None:
    """An asset by any of its three names."""
    return next((asset for asset in ASSETS if name in (asset.name, asset.altname, asset.code)), None)


def assets_body() -> dict[str, Any]:
    """The answer of `/0/public/Assets`."""
    return {
        asset.name: {
            "aclass": "currency",
            "altname": asset.altname,
            "decimals": asset.decimals,
            "display_decimals": asset.display_decimals,
            "status": "enabled",
        }
        for asset in ASSETS
    }


def pair_body(market: PaperMarket, *, status: str) -> dict[str, Any]:
    """One row of `/0/public/AssetPairs`."""
    return {
        "altname": market.altname,
        "wsname": f"{market.base.altname}/{market.quote.altname}",
        "aclass_base": "currency",
        "base": market.base.name,
        "aclass_quote": "currency",
        "quote": market.quote.name,
        "lot": "unit",
        "cost_decimals": 5,
        "pair_decimals": market.pair_decimals,
        "lot_decimals": market.lot_decimals,
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": [list(row) for row in FEES_TAKER],
        "fees_maker": [list(row) for row in FEES_MAKER],
        "fee_volume_currency": "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": market.quantity_min,
        "costmin": market.cost_min,
        "tick_size": scaled_text(1, market.pair_decimals),
        "status": status,
    }
