"""Who may open a socket of the cache."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from fullon_master_api.auth.rates import Rates
from tests.apis.cache.records import tick
from tests.lived import lived
from tests.rest.cache.conftest import SWITCHED_OFF, WITHIN_S, House, open_house
from tests.rest.edges import sockets_for

TICKERS = "/ws/tickers/me"
DESK = "https://desk.example"


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (None, "Missing authentication token"),
        ("", "Missing authentication token"),
        ("nonsense", "Invalid authentication token"),
        ("expired", "Invalid authentication token"),
        ("gone", "User not found"),
        ("broken", "Authentication error"),
    ],
)
async def test_a_refused_socket_is_told_why_and_never_sent_data(house: House, token: str | None, reason: str) -> None:
    await house.cache.tickers.set(tick())
    async with house.client(TICKERS, token) as client:
        with suppress(ConnectionClosed):
            await client.send({"action": "subscribe", "exchange": "kraken", "symbol": "BTC/USD"})
        with pytest.raises(ConnectionClosed) as closed:
            await client.receive()
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, reason)


@pytest.mark.parametrize("headers", [{"Authorization": "Bearer trader"}, {"X-API-Key": "trader"}])
async def test_the_token_may_come_in_a_header(house: House, headers: dict[str, str]) -> None:
    async with house.client(TICKERS, None, headers) as client:
        assert (await client.ask("get_all_tickers", exchange="kraken"))["success"] is True


async def test_a_socket_ends_with_its_token(house: House) -> None:
    async with house.client(TICKERS, "ends-in-3") as client:
        assert (await client.ask("get_all_tickers", exchange="kraken"))["success"] is True
        with pytest.raises(ConnectionClosed) as closed:
            await client.receive()
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "Invalid authentication token")


async def test_a_socket_ends_soon_after_its_user_was_switched_off(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fullon_master_api.rest.cache.session.ASK_AGAIN_S", 0.05)
    async with house.client(TICKERS, "other") as other, house.client(TICKERS) as client:
        await client.open("stream_tickers", exchange="kraken", symbols=["BTC/USD"])
        SWITCHED_OFF.add("trader")
        try:
            with pytest.raises(ConnectionClosed) as closed:
                await client.receive()
            async with asyncio.timeout(WITHIN_S):
                while house.bus.health().topics_listened:
                    await asyncio.sleep(0.01)
        finally:
            SWITCHED_OFF.discard("trader")
        assert (await other.ask("get_all_tickers", exchange="kraken"))["success"] is True
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "Invalid authentication token")


async def test_one_socket_too_many_is_turned_away_and_a_place_that_is_left_is_free_again() -> None:
    async with open_house("memory://", sockets_for(most=1)) as house:
        async with house.client(TICKERS) as client:
            assert (await client.ask("get_all_tickers", exchange="kraken"))["success"] is True
            async with house.client(TICKERS) as second:
                with pytest.raises(ConnectionClosed) as closed:
                    await second.receive()
        async with asyncio.timeout(WITHIN_S):
            while True:
                async with house.client(TICKERS) as third:
                    with suppress(ConnectionClosed):
                        assert (await third.ask("get_all_tickers", exchange="kraken"))["success"] is True
                        break
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1013, "Too many connections")


async def test_a_user_may_have_so_many_sockets_and_others_have_their_own() -> None:
    async with open_house("memory://", sockets_for(of_user=1)) as house, house.client(TICKERS) as client:
        assert (await client.ask("get_all_tickers", exchange="kraken"))["success"] is True
        async with house.client(TICKERS) as second:
            with pytest.raises(ConnectionClosed) as closed:
                await second.receive()
        async with house.client(TICKERS, "other") as other:
            assert (await other.ask("get_all_tickers", exchange="kraken"))["success"] is True
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1013, "a user may have 1 sockets")


@pytest.mark.parametrize(("origin", "let_in"), [("https://evil.example", False), ("null", False), (DESK, True), (None, True)])
async def test_a_page_opens_a_socket_only_from_an_origin_that_is_named(origin: str | None, let_in: bool) -> None:
    async with open_house("memory://", sockets_for(origins=[DESK])) as house:
        headers = {"Origin": origin} if origin else None
        if let_in:
            async with house.client(TICKERS, headers=headers) as client:
                assert (await client.ask("get_all_tickers", exchange="kraken"))["success"] is True
        else:
            with pytest.raises(InvalidStatus) as refused:
                async with house.client(TICKERS, headers=headers):
                    pass
            assert refused.value.response.status_code == 403


async def test_what_is_asked_on_a_socket_is_counted_for_its_user() -> None:
    rates = Rates(per_user=3, per_address=0, running_max=100, clock=lambda: 0.0)
    async with open_house("memory://", rates=rates) as house, house.client(TICKERS) as client, house.client(TICKERS) as second:
        answers = [await client.ask("get_all_tickers", exchange="kraken") for _ in range(3)]
        refused = await second.ask("get_all_tickers", exchange="kraken")
        async with house.client(TICKERS, "other") as other:
            assert (await other.ask("get_all_tickers", exchange="kraken"))["success"] is True

    assert all(answer["success"] for answer in answers)
    assert (refused["success"], refused["error_code"]) == (False, "RATE_LIMITED")


async def test_a_refused_credential_is_counted_for_its_address() -> None:
    rates = Rates(per_user=0, per_address=5, running_max=100, clock=lambda: 0.0)
    async with open_house("memory://", rates=rates) as house:
        for _ in range(3):
            async with house.client(TICKERS, "nonsense") as client:
                with pytest.raises(ConnectionClosed):
                    await client.receive()

    assert rates.left(("address", "127.0.0.1")) == (2, 5)


async def test_connecting_takes_less_than_100_ms_and_ten_sockets_stream_at_once(house: House) -> None:
    await house.cache.tickers.set(tick())

    async def first_message(number: int) -> object:
        async with house.client(f"/ws/tickers/{number}") as client:
            await client.ask("stream_tickers", exchange="kraken", symbols=["BTC/USD"])
            return (await client.receive())["result"]["price"]

    async def connect() -> float:
        begun = loop.time()
        async with house.client(TICKERS):
            return loop.time() - begun

    loop = asyncio.get_running_loop()
    assert min([await connect() for _ in range(10)]) < 0.1  # The best of ten: the machine may be busy with other tests.
    async with lived() as clock:
        assert await asyncio.gather(*(first_message(number) for number in range(10))) == [100.5] * 10
        assert clock.seconds < 5
