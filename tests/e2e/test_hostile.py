"""What is sent to hurt: each is refused with a code, costs little, and the server goes on."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, suppress
from typing import Any, Final

import httpx
import jwt
import pytest
import websockets
from websockets.asyncio.client import ClientConnection
from websockets.typing import Origin, Subprotocol

from fullon_master_api.executor.engine import DocumentError, Engine, Limits
from fullon_master_api.schema import build_schema
from tests.e2e.running import DemoProcess, codes_of

PROTOCOL: Final = Subprotocol("graphql-transport-ws")
REFUSED_CPU_S: Final = 0.1
"""What any document of 50 KB may cost to refuse or to validate."""
TIMES_HONEST: Final = 4
"""The same on a machine where an honest document takes longer than a quarter of that."""
IDLE_SOCKETS: Final = 500


def chain(count: int, spread: str, root: str = "{ ...F0 }", on: str = "Query", last: str = "__typename") -> str:
    """Fragments that each spread the next one."""
    links = "".join(f" fragment F{n} on {on} {{ {spread.format(n + 1)} }}" for n in range(count))
    return f"{root}{links} fragment F{count} on {on} {{ {last} }}"


def mesh(count: int) -> str:
    """Fragments that each spread all that follow."""
    links = "".join(
        f" fragment F{n} on Query {{ {' '.join(f'...F{other}' for other in range(n + 1, count))} __typename }}"
        for n in range(count)
    )
    return "{ ...F0 }" + links


def many(count: int, spelled: str) -> str:
    return "{ " + " ".join(spelled.format(n=n) for n in range(count)) + " }"


DOCUMENTS: Final = {
    "D4: each fragment spreads the next twice": chain(30, "...F{0} ...F{0}"),
    "D4 through fields": chain(
        30,
        "user {{ bots {{ nodes {{ ...F{0} }} }} }} u: user {{ bots {{ nodes {{ ...F{0} }} }} }}",
        '{ bot(id: "1") { ...F0 } }',
        "Bot",
        "name",
    ),
    "D5: one field again and again": many(1_400, "me {{ mail }}"),
    "D5 below the limit of pairs": many(60, "bots {{ nodes {{ name orders {{ nodes {{ side }} }} }} }}"),
    "a cycle of two": "{ ...A } fragment A on Query { ...B me { mail } } fragment B on Query { ...A }",
    "a cycle of a hundred": chain(100, "...F{0}").replace("F100", "F0"),
    "a fragment in itself": "{ ...A } fragment A on Query { ...A ...A ...A }",
    "a flood of aliases": many(2_700, "a{n}: __typename"),
    "a flood of aliases that cost": many(
        99, "a{n}: symbols(first: 500) {{ nodes {{ candles(timeframe: MINUTE_1, limit: 5000) {{ close }} }} }}"
    ),
    "a flood of fragments": many(200, "...F{n}") + "".join(f" fragment F{n} on Query {{ a{n}: __typename }}" for n in range(200)),
    "fragments that nobody spreads": "{ __typename }" + "".join(f" fragment F{n} on Query {{ __typename }}" for n in range(300)),
    "a mesh of thirty fragments": mesh(30),
    "a mesh of ninety fragments": mesh(90),
    "operations times fragments": " ".join(f"query Q{n} {{ ...F0 }}" for n in range(80))
    + chain(80, "...F{0} a{0}: __typename", ""),
    "deep fields": "{ me { bots { nodes { user " * 1_800,
    "deep lists": '{ tickers(exchange: "kraken", symbols: ' + "[" * 20_000 + "]" * 20_000 + ") { last } }",
    "deep objects": "{ symbols(filter: " + "{ a: " * 8_000 + "1" + "}" * 8_000 + ") { totalCount } }",
    "names that nobody knows": many(700, "x{n}"),
    "inputs that nobody knows": "{ symbols(filter: { " + " ".join(f"exchang{n}: 1" for n in range(900)) + " }) { totalCount } }",
    "a flood of directives": "{ __typename " + "@skip(if: false) " * 500 + "}",
    "a flood of variables": "query (" + " ".join(f"$v{n}: Int" for n in range(700)) + ") { __typename }",
    "one long name": "{ " + "a" * 49_000 + " }",
    "comments": "#\n" * 24_900,
    "commas": "," * 49_900,
}
HONEST: Final = many(60, 's{n}: symbol(exchange: "kraken", symbol: "BTC/USD") {{ symbol base quote ticker {{ bid ask last }} }}')


SCHEMA: Final = build_schema()


def cpu_s(text: str) -> float:
    """CPU seconds to settle a document that this engine has never seen; the least of three."""
    tried = []
    for _ in range(3):
        fresh = Engine(SCHEMA)
        began = time.process_time()
        try:
            fresh.prepare(text, "Q0" if text.startswith("query Q0") else None)
        except DocumentError as error:
            assert set(error.codes) <= {"PARSE_FAILED", "VALIDATION_FAILED", "DEPTH_LIMIT", "COST_LIMIT", "TOO_LARGE"}  # noqa: PT017
        tried.append(time.process_time() - began)
    return min(tried)


@pytest.fixture(scope="module")
def honest_s() -> float:
    return cpu_s(HONEST)


@pytest.mark.parametrize("text", DOCUMENTS.values(), ids=DOCUMENTS.keys())
def test_any_document_of_50_kb_is_refused_or_validated_in_100_ms_of_cpu_time(text: str, honest_s: float) -> None:
    assert len(text) <= 50_000
    assert cpu_s(text) < max(REFUSED_CPU_S, TIMES_HONEST * honest_s)


GROWING: Final[dict[str, Callable[[int], str]]] = {
    "D4: each fragment spreads the next twice": lambda size: chain(size // 42, "...F{0} ...F{0}"),
    "D5: one field again and again": lambda size: many(size // 12, "me {{ mail }}"),
    "aliases": lambda size: many(size // 20, "a{n}: me {{ mail }}"),
    "a mesh of fragments": lambda size: mesh(int((size / 4) ** 0.5)),
    "directives": lambda size: "{ __typename " + "@skip(if: false) " * (size // 17) + "}",
    "variables": lambda size: "query (" + " ".join(f"$v{n}: Int" for n in range(size // 12)) + ") { __typename }",
}


@pytest.mark.parametrize("make", GROWING.values(), ids=GROWING.keys())
def test_a_document_four_times_as_long_costs_about_four_times_as_much(make: Callable[[int], str]) -> None:
    """With the other limits off, so that the work itself is seen. What grows with the square would cost sixteen times as much."""
    limits = Limits(bytes_max=60_000, tokens_max=10**6, directives_max=10**6, cost_max=10**12)

    def spent_s(text: str) -> float:
        tried = []
        for _ in range(5):  # The least of five: whatever else runs only adds to it.
            fresh = Engine(SCHEMA, limits)
            began = time.thread_time()
            with suppress(DocumentError):
                fresh.prepare(text)
            tried.append(time.thread_time() - began)
        return min(tried)

    assert spent_s(make(48_000)) < 10 * spent_s(make(12_000))


@pytest.mark.parametrize("text", DOCUMENTS.values(), ids=DOCUMENTS.keys())
def test_a_hostile_document_is_answered_with_a_code(trader: httpx.Client, text: str) -> None:
    answer = trader.post("/graphql", json={"query": text}, headers={"accept": "application/graphql-response+json"})

    assert answer.status_code in (200, 400), answer.text[:500]
    codes = codes_of(answer.json())
    assert (answer.status_code == 200) == (codes == [])
    assert set(codes) <= {"PARSE_FAILED", "VALIDATION_FAILED", "BAD_USER_INPUT", "DEPTH_LIMIT", "COST_LIMIT", "TOO_LARGE"}


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"[" * 100_000, 400, "PARSE_FAILED"),
        (b'{"a":' * 100_000, 400, "PARSE_FAILED"),
        (b"[" * 100_000 + b"]" * 100_000, 400, "PARSE_FAILED"),
        (b'{"query":"{ __typename }","variables":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_001, 400, "PARSE_FAILED"),
        (b'{"query":"' + b"x" * 5_000_000 + b'"}', 413, "TOO_LARGE"),
        (b'{"query":"' + b"#" * 60_000 + b'"}', 400, "TOO_LARGE"),
    ],
    ids=["D6 lists", "D6 objects", "D6 closed", "D6 variables", "5 MB", "60 KB of document"],
)
def test_a_hostile_body_is_4xx(stranger: httpx.Client, content: bytes, status: int, code: str) -> None:
    headers = {"content-type": "application/json", "accept": "application/graphql-response+json"}
    answer = stranger.post("/graphql", content=content, headers=headers)

    assert (answer.status_code, codes_of(answer.json())) == (status, [code])


@pytest.mark.parametrize(("path", "method"), [("/api/v1/auth/login", "POST"), ("/api/v1/orm/bots/", "POST")])
@pytest.mark.parametrize("content", [b"[" * 100_000, b"x" * 5_000_000], ids=["deep", "5 MB"])
def test_a_hostile_body_over_rest_is_4xx(trader: httpx.Client, path: str, method: str, content: bytes) -> None:
    answer = trader.request(method, path, content=content, headers={"content-type": "application/json"})

    assert 400 <= answer.status_code < 500
    assert answer.json()["code"] in ("BAD_USER_INPUT", "PARSE_FAILED", "TOO_LARGE", "NOT_FOUND")


def forged(demo: DemoProcess) -> Iterator[tuple[str, str]]:
    """Tokens that must not hold, made from one that does."""
    good = demo.token("trader@fullon")
    claims = jwt.decode(good, options={"verify_signature": False})
    head, body, _signature = good.split(".")

    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    for spelled in ("none", "None", "NONE", "nOnE"):
        yield f"alg {spelled}", f"{part({'alg': spelled, 'typ': 'JWT'})}.{body}."
    yield "no signature", f"{head}.{body}."
    yield "another subject", f"{head}.{part(claims | {'sub': '1', 'user_id': 1})}.{good.split('.')[2]}"
    yield "another secret", jwt.encode(claims, "x" * 48, algorithm="HS256")
    yield "another issuer", jwt.encode(claims | {"iss": "elsewhere"}, "x" * 48, algorithm="HS256")
    yield "a long one", f"{head}.{body}." + "A" * 5_000


def test_forged_tokens_are_refused_on_every_face(demo: DemoProcess, stranger: httpx.Client) -> None:
    for name, token in forged(demo):
        headers = {"authorization": f"Bearer {token}"}
        graphql = stranger.post("/graphql", json={"query": "{ me { mail } }"}, headers=headers)
        rest = stranger.get("/api/v1/services", headers=headers)
        assert (graphql.status_code, codes_of(graphql.json())) == (401, ["UNAUTHENTICATED"]), name
        assert (rest.status_code, rest.json()["code"]) == (401, "UNAUTHENTICATED"), name
        assert "www-authenticate" in graphql.headers, name


def expired(demo: DemoProcess) -> str:
    """A token that the demo itself could have signed an hour ago."""
    claims = jwt.decode(demo.token("trader@fullon"), options={"verify_signature": False})
    kept = json.loads((demo.log.parent / "data" / "demo-secrets.json").read_text(encoding="utf-8"))
    over = claims | {"iat": claims["iat"] - 7_200, "exp": claims["iat"] - 3_600}
    return jwt.encode(over, kept["jwt_secret_key"], algorithm="HS256")


def test_an_expired_token_is_refused_and_named_so_on_every_face(demo: DemoProcess, stranger: httpx.Client) -> None:
    headers = {"authorization": f"Bearer {expired(demo)}"}

    graphql = stranger.post("/graphql", json={"query": "{ me { mail } }"}, headers=headers)
    assert (graphql.status_code, codes_of(graphql.json())) == (401, ["TOKEN_EXPIRED"])
    rest = stranger.get("/api/v1/services", headers=headers)
    assert (rest.status_code, rest.json()["code"]) == (401, "TOKEN_EXPIRED")


async def test_an_expired_token_opens_no_socket(demo: DemoProcess) -> None:
    token = expired(demo)
    async with connect(demo) as socket:
        await socket.send(json.dumps({"type": "connection_init", "payload": {"Authorization": f"Bearer {token}"}}))
        assert await closed(socket) == 4403
    cache = demo.url.replace("http", "ws", 1) + f"/api/v1/cache/ws/tickers/me?token={token}"
    async with websockets.connect(cache, open_timeout=60) as socket:
        assert await closed(socket) == 1008


async def closed(socket: ClientConnection) -> int:
    async with asyncio.timeout(60):
        await socket.wait_closed()
    assert socket.close_code is not None
    return socket.close_code


def connect(demo: DemoProcess, **options: Any) -> Any:
    return websockets.connect(
        demo.url.replace("http", "ws", 1) + "/graphql", subprotocols=[PROTOCOL], close_timeout=1, open_timeout=60, **options
    )


async def test_forged_tokens_do_not_open_a_socket(demo: DemoProcess) -> None:
    for name, token in forged(demo):
        async with connect(demo) as socket:
            await socket.send(json.dumps({"type": "connection_init", "payload": {"Authorization": f"Bearer {token}"}}))
            assert await closed(socket) == 4403, name


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example"])
async def test_a_page_of_another_origin_opens_no_socket(demo: DemoProcess, origin: str) -> None:
    with pytest.raises(websockets.InvalidStatus) as caught:
        await connect(demo, origin=Origin(origin)).__aenter__()

    assert caught.value.response.status_code == 403


@pytest.mark.parametrize("size", [1_000_001, 2_000_000])
async def test_a_message_that_is_too_large_closes_its_socket_only(demo: DemoProcess, size: int) -> None:
    async with connect(demo) as other, connect(demo) as socket:
        await other.send(json.dumps({"type": "connection_init"}))
        assert json.loads(await other.recv())["type"] == "connection_ack"
        await socket.send("x" * size)
        assert await closed(socket) == 1009
        await other.send(json.dumps({"type": "ping"}))
        assert json.loads(await other.recv())["type"] == "pong"


@pytest.mark.parametrize(
    "message",
    [
        "[" * 100_000,
        '{"type":"connection_init","payload":' + '{"a":' * 50_000 + "1" + "}" * 50_001,
        '{"type":"subscribe","id":"1","payload":{"query":"{ __typename }","variables":' + "[" * 50_000 + "]" * 50_000 + "}}",
    ],
    ids=["lists", "init", "variables"],
)
async def test_a_message_that_nests_too_deep_closes_its_socket_only(demo: DemoProcess, message: str) -> None:
    async with connect(demo) as other, connect(demo) as socket:
        await socket.send(message)
        assert await closed(socket) == 4400
        await other.send(json.dumps({"type": "connection_init"}))
        assert json.loads(await other.recv())["type"] == "connection_ack"


@pytest.mark.slow
async def test_500_sockets_that_say_nothing_are_closed_and_others_are_served(demo: DemoProcess, trader: httpx.Client) -> None:
    async with AsyncExitStack() as stack:
        idle = [await stack.enter_async_context(connect(demo)) for _ in range(IDLE_SOCKETS)]
        assert trader.post("/graphql", json={"query": "{ me { mail } }"}).json() == {"data": {"me": {"mail": "trader@fullon"}}}
        codes = [await closed(socket) for socket in idle]

    assert codes == [4408] * IDLE_SOCKETS
    assert trader.get("/livez").status_code == 200
