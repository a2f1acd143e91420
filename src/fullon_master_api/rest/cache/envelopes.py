"""How requests and answers are wrapped: the seven typed sockets' way, and the generic socket's way."""

from __future__ import annotations

from time import time
from typing import Protocol
from uuid import uuid4

from fullon_master_api.rest.cache.desk import Json

RequestId = str | int | None


class Envelope(Protocol):
    """Wraps what one socket says. `verb` is the request's key that names what is asked."""

    verb: str

    def name(self, request_id: RequestId) -> RequestId:
        """The id to answer a request under."""
        ...

    def result(self, request_id: RequestId, asked: str, result: Json, begun_s: float) -> Json: ...

    def confirmed(self, request_id: RequestId, asked: str, stream_key: str) -> Json: ...

    def item(self, request_id: RequestId, item: str, stream_key: str, result: Json) -> Json: ...

    def ended(self, request_id: RequestId, stream_keys: list[str]) -> Json: ...

    def failure(self, request_id: RequestId, asked: str | None, code: str, why: str) -> Json: ...


class TypedEnvelope:
    """`{request_id, action, success, ...}`; a failure of the protocol itself has no `action`."""

    verb = "action"

    def name(self, request_id: RequestId) -> RequestId:
        return request_id

    def result(self, request_id: RequestId, asked: str, result: Json, begun_s: float) -> Json:
        return {"request_id": request_id, "action": asked, "success": True, "result": result}

    def confirmed(self, request_id: RequestId, asked: str, stream_key: str) -> Json:
        message = f"{asked} started"
        return {"request_id": request_id, "action": asked, "success": True, "message": message, "stream_key": stream_key}

    def item(self, request_id: RequestId, item: str, stream_key: str, result: Json) -> Json:
        return {"request_id": request_id, "action": item, "result": {"stream_key": stream_key, **result}}

    def ended(self, request_id: RequestId, stream_keys: list[str]) -> Json:
        key = stream_keys[0] if len(stream_keys) == 1 else stream_keys
        ended = {"request_id": request_id, "action": "unsubscribe", "success": True, "message": "stream ended"}
        return {**ended, "stream_key": key}

    def failure(self, request_id: RequestId, asked: str | None, code: str, why: str) -> Json:
        named = {} if asked is None else {"action": asked}
        return {"request_id": request_id, **named, "success": False, "error_code": code, "error": why}


class GenericEnvelope:
    """`{request_id, success, result, error, error_code, timestamp, latency_ms}`; an operation that does not exist gets the
    shorter error message `{request_id, error, error_code, timestamp, details}`."""

    verb = "operation"

    def name(self, request_id: RequestId) -> RequestId:
        return str(uuid4()) if request_id is None else request_id

    def result(self, request_id: RequestId, asked: str, result: Json, begun_s: float) -> Json:
        return self._answer(request_id, result=result, latency_ms=(time() - begun_s) * 1000)

    def confirmed(self, request_id: RequestId, asked: str, stream_key: str) -> Json:
        return self._answer(request_id, result={"message": f"{asked} started", "stream_key": stream_key})

    def item(self, request_id: RequestId, item: str, stream_key: str, result: Json) -> Json:
        return {**self._answer(request_id, result={"stream_key": stream_key, **result}), "operation": item}

    def ended(self, request_id: RequestId, stream_keys: list[str]) -> Json:
        return self._answer(request_id, result={"message": "stream ended", "stream_key": stream_keys[0]})

    def failure(self, request_id: RequestId, asked: str | None, code: str, why: str) -> Json:
        if code in ("INVALID_OPERATION", "MALFORMED_MESSAGE"):
            details = {} if asked is None else {"operation": asked}
            return {"request_id": request_id, "error": why, "error_code": code, "timestamp": time(), "details": details}
        return self._answer(request_id, error=why, error_code=code)

    def _answer(
        self,
        request_id: RequestId,
        *,
        result: Json | None = None,
        error: str | None = None,
        error_code: str | None = None,
        latency_ms: float = 0.0,
    ) -> Json:
        return {
            "request_id": request_id,
            "success": error_code is None,
            "result": result,
            "error": error,
            "error_code": error_code,
            "timestamp": time(),
            "latency_ms": latency_ms,
        }
