"""The two GraphQL WebSocket protocols as texts: what a client may say, and how our answers are spelled.

Sources: PROTOCOL.md of npm `graphql-ws` for `graphql-transport-ws`, and PROTOCOL.md of npm `subscriptions-transport-ws`
for the older one, whose name on the wire is `graphql-ws`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import orjson
from msgspec import Struct

ID_LENGTH_MAX: Final = 256
SHA256: Final = re.compile(r"(?:sha256:)?([0-9a-fA-F]{64})")

CLOSE_BAD_MESSAGE: Final = 4400
CLOSE_UNAUTHORIZED: Final = 4401
CLOSE_FORBIDDEN: Final = 4403
CLOSE_NO_PROTOCOL: Final = 4406
CLOSE_INIT_TIMEOUT: Final = 4408
CLOSE_ID_TAKEN: Final = 4409
CLOSE_TOO_MANY_INIT: Final = 4429
CLOSE_NORMAL: Final = 1000
CLOSE_TOO_BIG: Final = 1009
CLOSE_RESTART: Final = 1012
CLOSE_TRY_LATER: Final = 1013

REASON_BYTES_MAX: Final = 123
"""A close frame carries at most 125 bytes, two of them the code (RFC 6455, 5.5)."""


class BadMessage(Exception):
    """What the client said is not in the protocol: the socket closes with 4400 and this text."""


class Say(Enum):
    """What a client says, in words that both protocols share."""

    INIT = "init"
    START = "start"
    STOP = "stop"
    PING = "ping"
    PONG = "pong"
    TERMINATE = "terminate"


@dataclass(frozen=True, slots=True)
class Wire:
    """How one protocol spells its messages. The heads before an event's body have equal length in both."""

    name: str
    number: int
    said: Mapping[str, Say]
    event_head: bytes
    error_list: bool  # an error message carries a list of errors, else the first one
    keep_alive: bytes


TRANSPORT_WS: Final = Wire(
    name="graphql-transport-ws",
    number=0,
    said={
        "connection_init": Say.INIT,
        "subscribe": Say.START,
        "complete": Say.STOP,
        "ping": Say.PING,
        "pong": Say.PONG,
    },
    event_head=b'{"type":"next","payload":',
    error_list=True,
    keep_alive=b'{"type":"ping"}',
)
LEGACY_WS: Final = Wire(
    name="graphql-ws",
    number=1,
    said={
        "connection_init": Say.INIT,
        "start": Say.START,
        "stop": Say.STOP,
        "connection_terminate": Say.TERMINATE,
    },
    event_head=b'{"type":"data","payload":',
    error_list=False,
    keep_alive=b'{"type":"ka"}',
)
WIRES: Final = (TRANSPORT_WS, LEGACY_WS)


@dataclass(frozen=True, slots=True)
class Said:
    """One message of a client; `payload` is None where it had none or null."""

    what: Say
    id: str = ""
    payload: dict[str, Any] | None = None


class Operation(Struct, frozen=True):
    """A GraphQL request as every face of the transport understands it."""

    query: str
    operation_name: str | None
    variables: dict[str, Any]
    extensions: dict[str, Any]
    document_id: str | None = None
    """SHA-256 of the text in hex, where the client named it; then the text may be empty."""


def choose_wire(offered: list[str]) -> Wire | None:
    """The protocol to speak with a client, the newer one where it offers both."""
    for wire in WIRES:
        if wire.name in offered:
            return wire
    return None


def read_message(wire: Wire, text: str | bytes) -> Said:
    """What a client said. Raises BadMessage for everything the protocol does not know."""
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadMessage("the message is not JSON") from error
    if type(message) is not dict:
        raise BadMessage("the message is not a JSON object")
    kind = message.get("type")
    what = wire.said.get(kind) if type(kind) is str else None
    if what is None:
        raise BadMessage("the message has no type that this protocol knows")
    payload = message.get("payload")
    if payload is not None and type(payload) is not dict:
        raise BadMessage(f"the payload of {kind} is not an object")
    if what is not Say.START and what is not Say.STOP:
        return Said(what, payload=payload)
    identity = message.get("id")
    if type(identity) is not str or not identity or len(identity) > ID_LENGTH_MAX:
        raise BadMessage(f"{kind} needs an id, a string of 1 to {ID_LENGTH_MAX} characters")
    if what is Say.START and payload is None:
        raise BadMessage(f"{kind} needs a payload")
    return Said(what, identity, payload)


def read_operation(request: Mapping[str, Any]) -> Operation:
    """The GraphQL request in a payload or a body. Raises BadMessage with what is wrong in it."""
    query = request.get("query")
    if query is not None and type(query) is not str:
        raise BadMessage("'query' must be a string")
    operation_name = request.get("operationName")
    if operation_name is not None and type(operation_name) is not str:
        raise BadMessage("'operationName' must be a string")
    variables = request.get("variables")
    if variables is not None and type(variables) is not dict:
        raise BadMessage("'variables' must be an object")
    extensions = request.get("extensions")
    if extensions is not None and type(extensions) is not dict:
        raise BadMessage("'extensions' must be an object")
    document_id = _document_id(request.get("documentId"), extensions) if extensions or "documentId" in request else None
    if not query and document_id is None:
        raise BadMessage("the request has no 'query'")
    return Operation(query or "", operation_name or None, variables or {}, extensions or {}, document_id)


def _document_id(given: object, extensions: dict[str, Any] | None) -> str | None:
    """The hash in `documentId` ("sha256:…", GraphQL over HTTP, appendix A) or in `extensions.persistedQuery` (Apollo)."""
    if given is None:
        persisted = (extensions or {}).get("persistedQuery")
        if persisted is None:
            return None
        if type(persisted) is not dict or persisted.get("version") != 1:
            raise BadMessage("'extensions.persistedQuery' must be an object with version 1 and sha256Hash")
        given = persisted.get("sha256Hash")
    found = SHA256.fullmatch(given) if type(given) is str else None
    if found is None:
        raise BadMessage("a document is named by its SHA-256 as 64 hexadecimal digits")
    return found[1].lower()


def event_tail(identity: str) -> bytes:
    """What follows the body of an event for one subscription."""
    return b',"id":' + orjson.dumps(identity) + b"}"


def ack_message(payload: Mapping[str, Any] | None = None) -> bytes:
    return orjson.dumps({"type": "connection_ack"} if payload is None else {"type": "connection_ack", "payload": payload})


def pong_message(payload: Mapping[str, Any] | None) -> bytes:
    return orjson.dumps({"type": "pong"} if payload is None else {"type": "pong", "payload": payload})


def complete_message(identity: str) -> bytes:
    return b'{"type":"complete"' + event_tail(identity)


def error_message(wire: Wire, identity: str, errors: list[dict[str, Any]]) -> bytes:
    """The end of an operation that never had, or lost, its result."""
    return orjson.dumps({"type": "error", "id": identity, "payload": errors if wire.error_list else errors[0]})


def refusal_message(errors: list[dict[str, Any]]) -> bytes:
    """What the older protocol says before it closes a socket that may not open."""
    return orjson.dumps({"type": "connection_error", "payload": errors[0]})


def close_reason(text: str) -> str:
    """The text cut to what a close frame holds."""
    return text.encode()[:REASON_BYTES_MAX].decode(errors="ignore")


def credentials_in(payload: Mapping[str, Any] | None, api_key_header: str) -> dict[str, str]:
    """Credentials of a `connection_init` or `ping` payload as headers: `authorization`, `Authorization`, `token`, `apiKey`.

    Also the headers themselves by their own names, which is what GraphiQL sends. Empty where the payload has none.
    """
    found: dict[str, str] = {}
    for name, value in (payload or {}).items():
        if type(value) is not str or not value:
            continue
        lower = name.lower()
        if lower == "authorization":
            found["authorization"] = value
        elif lower in {"token", "authtoken", "access_token"}:
            found.setdefault("authorization", value if value.lower().startswith("bearer ") else f"Bearer {value}")
        elif lower in {"apikey", "api_key", api_key_header.lower()}:
            found[api_key_header.lower()] = value
    return found
