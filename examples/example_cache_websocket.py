"""Stream tickers over the cache's WebSocket, and see a socket without a token refused."""

from __future__ import annotations

import asyncio
import json

from demo import demo_server, log_in
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


async def stream(url: str, token: str) -> None:
    socket_url = url.replace("http", "ws", 1) + "/api/v1/cache/ws/tickers/example"
    async with connect(f"{socket_url}?token={token}", open_timeout=30) as socket:
        request = {
            "action": "stream_tickers",
            "request_id": "1",
            "params": {"exchange": "kraken", "symbols": ["BTC/USD", "ETH/USD"]},
        }
        await socket.send(json.dumps(request))
        confirmed = json.loads(await asyncio.wait_for(socket.recv(), 30))
        assert confirmed["success"] is True, confirmed
        assert confirmed["stream_key"].endswith(":1")
        for _ in range(5):
            message = json.loads(await asyncio.wait_for(socket.recv(), 30))
            assert message["action"] == "ticker_update", message
            ticker = message["result"]
            assert all(isinstance(ticker[name], int | float) for name in ("price", "bid", "ask", "volume")), ticker
            print(f"{ticker['symbol']} {ticker['price']}")

    for query, reason in {"": "Missing authentication token", "?token=nonsense": "Invalid authentication token"}.items():
        try:
            async with connect(socket_url + query, open_timeout=30) as socket:
                await asyncio.wait_for(socket.recv(), 30)
        except ConnectionClosed as closed:
            assert closed.rcvd is not None
            assert (closed.rcvd.code, closed.rcvd.reason) == (1008, reason)
            print(f"refused: {closed.rcvd.reason}")
        else:
            raise AssertionError("a socket without a good token was served")


def main() -> None:
    with demo_server(__doc__ or "") as url:
        asyncio.run(stream(url, log_in(url)))


if __name__ == "__main__":
    main()
