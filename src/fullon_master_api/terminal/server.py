"""A running server as the terminal reaches it: questions over HTTP, streams over WebSocket."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fullon_master_api.errors import ErrorCode

if TYPE_CHECKING:  # It takes long to import, and TAB should not wait for it.
    import aiohttp

ANSWER_S: Final = 30.0
HEARTBEAT_S: Final = 15.0
RETRY_S: Final = 0.5
RETRY_S_MAX: Final = 15.0
PROTOCOL: Final = "graphql-transport-ws"

SIGN_IN: Final = "mutation($input: LoginInput!) { login(input: $input) { accessToken userErrors { code message } } }"

NOT_SIGNED_IN: Final = {ErrorCode.UNAUTHENTICATED, ErrorCode.TOKEN_EXPIRED}
PASSING: Final = {
    ErrorCode.SERVER_SHUTDOWN,
    ErrorCode.SLOW_CONSUMER,
    ErrorCode.UNAVAILABLE,
    ErrorCode.TIMEOUT,
    ErrorCode.RATE_LIMITED,
    ErrorCode.INTERNAL,
}

Url = Annotated[str, typer.Option(help="The server.", envvar="FULLON_URL")]
Token = Annotated[str | None, typer.Option(help="Access token.", envvar="FULLON_TOKEN")]
ApiKey = Annotated[str | None, typer.Option(help="API key.", envvar="FULLON_API_KEY")]
Mail = Annotated[str | None, typer.Option(help="Mail to log in with.", envvar="FULLON_MAIL")]
Password = Annotated[
    str | None, typer.Option(help="Password of that mail; asked for where it is not given.", envvar="FULLON_PASSWORD")
]
LOCAL: Final = "http://127.0.0.1:8000"
SIGN_IN_HINT: Final = "Say who asks: --mail, --token or --api-key, or FULLON_MAIL, FULLON_TOKEN or FULLON_API_KEY."


class Refusal(Exception):
    """The server answered and said no; `code` is one of its public codes."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class Unreachable(Exception):
    """Nothing that speaks GraphQL answers there."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A stream broke off; it is opened again after `retry_s` seconds."""

    reason: str
    retry_s: float


@dataclass(frozen=True, slots=True)
class Door:
    """Where the server is and who asks: by token, by API key, or by mail and password."""

    url: str
    token: str | None = None
    api_key: str | None = None
    mail: str | None = None
    password: str | None = None


def door_of(url: str, token: str | None, api_key: str | None, mail: str | None, password: str | None) -> Door:
    """The door of a command's options; asks for a password that is missing."""
    if mail and not password and not token and not api_key:
        password = typer.prompt(f"password of {mail}", hide_input=True, err=True)
    return Door(url.rstrip("/"), token, api_key, mail, password)


class Server:
    """One caller's connection to a server."""

    def __init__(self, http: aiohttp.ClientSession, door: Door) -> None:
        self._http = http
        self._door = door
        self._token = door.token

    async def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """The data of one operation. Raises Refusal with the first error, Unreachable where nobody answers."""
        return await self._post(query, variables, headers_of(await self._credentials(), api_key="X-API-Key"))

    async def watch(self, query: str, **variables: Any) -> AsyncGenerator[dict[str, Any] | Lost, None]:
        """Events of a subscription, for as long as the caller reads. A stream that breaks off is opened again.

        Yields the data of each event, and Lost whenever there will be none for a while. Raises Refusal for what trying
        again cannot cure, and Unreachable where the server was never there.
        """
        opened, failures = False, 0
        while True:
            try:
                async with aclosing(self._stream(query, variables)) as events:
                    async for data in events:
                        opened, failures = True, 0
                        yield data
                reason = "the stream ended"
            except Unreachable as error:
                if not opened:
                    raise
                reason = str(error)
            except Refusal as error:
                if not self._may_try_again(error):
                    raise
                reason = str(error)
            retry_s = min(RETRY_S * 2**failures, RETRY_S_MAX) * random.uniform(0.5, 1.0)  # noqa: S311  not a secret
            failures += 1
            yield Lost(reason, retry_s)
            await asyncio.sleep(retry_s)

    def _may_try_again(self, error: Refusal) -> bool:
        """Whether the fault passes by itself, or by logging in anew with a mail that was good before."""
        if error.code in NOT_SIGNED_IN and self._door.mail and not self._door.token and self._token is not None:
            self._token = None
            return True
        return error.code in PASSING

    async def _credentials(self) -> dict[str, str]:
        if self._token is None and self._door.api_key:
            return {"apiKey": self._door.api_key}
        if self._token is None and self._door.mail:
            data = await self._post(SIGN_IN, {"input": {"mail": self._door.mail, "password": self._door.password or ""}}, {})
            payload = data["login"]
            if payload["userErrors"]:
                raise refusal(payload["userErrors"])
            self._token = str(payload["accessToken"])
        return {} if self._token is None else {"authorization": f"Bearer {self._token}"}

    async def _post(self, query: str, variables: Mapping[str, Any], headers: Mapping[str, str]) -> dict[str, Any]:
        import aiohttp

        body = {"query": query, "variables": variables}
        try:
            async with self._http.post(f"{self._door.url}/graphql", json=body, headers=headers) as response:
                answer = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Unreachable(f"no GraphQL at {self._door.url}/graphql: {error or type(error).__name__}") from error
        if answer.get("errors"):
            raise refusal(answer["errors"])
        data: dict[str, Any] = answer["data"]
        return data

    async def _stream(self, query: str, variables: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """The data of each event until the server completes the stream; one connection."""
        import aiohttp

        payload = await self._credentials()
        url = self._door.url.replace("http", "ws", 1) + "/graphql"
        try:
            async with self._http.ws_connect(url, protocols=[PROTOCOL], heartbeat=HEARTBEAT_S) as socket:
                await socket.send_json({"type": "connection_init", "payload": payload})
                while (said := await receive(socket))["type"] != "complete":
                    if said["type"] == "connection_ack":
                        operation = {"query": query, "variables": variables}
                        await socket.send_json({"id": "1", "type": "subscribe", "payload": operation})
                    elif said["type"] == "ping":
                        await socket.send_json({"type": "pong"})
                    elif said["type"] == "error":
                        raise refusal(said["payload"])
                    elif said["type"] == "next":
                        if said["payload"].get("data") is None:
                            raise refusal(said["payload"]["errors"])
                        yield said["payload"]["data"]
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"no answer from {url}: {error or type(error).__name__}") from error


async def receive(socket: aiohttp.ClientWebSocketResponse) -> dict[str, Any]:
    """The next message. Raises Refusal where the socket was closed with one of our codes, else Unreachable."""
    import aiohttp

    message = await socket.receive()
    if message.type is aiohttp.WSMsgType.TEXT:
        said: dict[str, Any] = message.json()
        return said
    reason = message.extra if isinstance(message.extra, str) else ""
    code, colon, text = reason.partition(": ")
    if colon and code in ErrorCode.__members__:
        raise Refusal(code, text)
    raise Unreachable(f"the connection closed with {socket.close_code}{f', {reason}' if reason else ''}")


def refusal(errors: Sequence[Mapping[str, Any]]) -> Refusal:
    """The first of a list of errors, of an operation's or of a payload's."""
    first = errors[0]
    return Refusal(first.get("code") or first.get("extensions", {}).get("code", ErrorCode.INTERNAL), first["message"])


def headers_of(credentials: Mapping[str, str], *, api_key: str) -> dict[str, str]:
    """Credentials of a `connection_init` as headers."""
    return {api_key if name == "apiKey" else name: value for name, value in credentials.items()}


@asynccontextmanager
async def open_server(door: Door) -> AsyncIterator[Server]:
    import aiohttp

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_S)) as http:
        yield Server(http, door)


def finish(work: Coroutine[Any, Any, None]) -> None:
    """Do it; a refusal, or a server that is not there, ends the command with 1 and its words."""
    try:
        asyncio.run(work)
    except (Refusal, Unreachable) as error:
        typer.echo(f"error: {error}", err=True)
        if isinstance(error, Refusal) and error.code in NOT_SIGNED_IN:
            typer.echo(SIGN_IN_HINT, err=True)
        raise SystemExit(1) from None
