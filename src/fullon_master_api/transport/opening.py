"""From the text of a subscription to the feed that its resolver opens for one reader."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final, cast

import orjson
from graphql import GraphQLError

from fullon_master_api.errors import TimedOut
from fullon_master_api.executor.answers import DocumentError, refusal
from fullon_master_api.executor.engine import Engine, Prepared, RootCall
from fullon_master_api.executor.live import LIVE, Feed

CALLS_MAX: Final = 1_000
KEPT_BYTES_MAX: Final = 4_096
"""Bytes of the variables of a call that is kept."""


class Opener:
    """Asks the resolver of a live field for its feed, for each reader; the field and its arguments are read once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._calls: OrderedDict[tuple[Prepared, bytes], RootCall] = OrderedDict()

    async def open(self, prepared: Prepared, variables: Mapping[str, Any], context: Any) -> Feed:
        """Raises DocumentError, located at the field, with the resolver's code; TimedOut when it does not answer."""
        call = self._call(prepared, variables)
        opener = call.field.metadata.get(LIVE)
        if opener is None:
            raise DocumentError([refusal("BAD_USER_INPUT", f"{call.key!r} is not a stream", prepared.operation)])
        timeout_s = self._engine.limits.timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                return cast("Feed", await opener(context, **call.arguments))
        except TimeoutError as error:
            raise TimedOut(f"the stream could not be opened within {timeout_s:g} s") from error
        except Exception as error:
            located = GraphQLError(str(error), prepared.operation, path=[call.key], original_error=error)
            raise DocumentError([located]) from error

    def _call(self, prepared: Prepared, variables: Mapping[str, Any]) -> RootCall:
        key = (prepared, orjson.dumps(variables, option=orjson.OPT_SORT_KEYS))
        call = self._calls.get(key)
        if call is None:
            call = self._engine.root_call(prepared, variables)
            if len(key[1]) <= KEPT_BYTES_MAX:
                self._calls[key] = call
                if len(self._calls) > CALLS_MAX:
                    self._calls.popitem(last=False)
        return call
