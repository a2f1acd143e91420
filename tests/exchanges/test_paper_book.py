"""The book channel of the paper exchange, rebuilt by a reader of its own from snapshot and increments."""

from __future__ import annotations

import asyncio
import json
import zlib
from typing import Any

import aiohttp
import pytest

from fullon_master_api.exchanges.paper import GeneratedSource, PaperOptions, open_paper

SOURCE = GeneratedSource(seed=2, history_hours=0.1, updates_per_s=400.0)


def crc(bids: dict[str, str], asks: dict[str, str]) -> int:
    """Kraken's checksum from the texts on the wire: no point, no leading zeros, ten asks and then ten bids."""
    best = sorted(asks, key=float)[:10], sorted(bids, key=float, reverse=True)[:10]
    digits = ""
    for prices, side in zip(best, (asks, bids), strict=True):
        for price in prices:
            digits += price.replace(".", "").lstrip("0") + side[price].replace(".", "").lstrip("0")
    return zlib.crc32(digits.encode())


def apply(side: dict[str, str], rows: list[dict[str, str]], *, depth: int, bids: bool) -> None:
    for row in rows:
        if float(row["qty"]) == 0:
            side.pop(row["price"], None)
        else:
            side[row["price"]] = row["qty"]
    for price in sorted(side, key=float, reverse=bids)[depth:]:
        del side[price]


@pytest.mark.parametrize("depth", [10, 25])
@pytest.mark.parametrize("symbol", ["BTC/USD", "ETH/BTC"])
async def test_every_increment_leads_to_the_checksum_it_names(symbol: str, depth: int) -> None:
    bids: dict[str, str] = {}
    asks: dict[str, str] = {}
    kinds: list[str] = []
    async with (
        asyncio.timeout(60),
        open_paper(PaperOptions(source=SOURCE)) as paper,
        aiohttp.ClientSession() as session,
        session.ws_connect(paper.url + "/ws/v2") as socket,
    ):
        await socket.send_json({"method": "subscribe", "params": {"channel": "book", "symbol": [symbol], "depth": depth}})
        while len(kinds) < 150:
            message: dict[str, Any] = json.loads((await socket.receive()).data, parse_float=str)
            if message.get("channel") != "book":
                continue
            kinds.append(message["type"])
            data = message["data"][0]
            apply(bids, data["bids"], depth=depth, bids=True)
            apply(asks, data["asks"], depth=depth, bids=False)
            assert crc(bids, asks) == data["checksum"]

    assert kinds == ["snapshot"] + ["update"] * 149
    assert max(map(float, bids)) < min(map(float, asks))
