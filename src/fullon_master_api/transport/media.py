"""Media types of answers: which one a client takes, by its Accept header."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from fullon_master_api.transport.streaming import EVENT_STREAM, MULTIPART

JSON: Final = "application/json"
GRAPHQL_JSON: Final = "application/graphql-response+json"
HTML: Final = "text/html"


@dataclass(frozen=True, slots=True)
class Wish:
    """What an Accept header asks for."""

    ranges: Mapping[str, float]
    media: str | None
    """The media type of a whole answer; None where the client takes neither. Without a wish it is application/json."""
    streams: bool
    """Whether the client also takes an answer that comes in parts."""


@lru_cache(maxsize=256)
def wish_of(header: str) -> Wish:
    """What the text of an Accept header, empty where there is none, asks for."""
    ranges = accepted(header)
    streams = EVENT_STREAM in ranges or MULTIPART in ranges
    if not header.strip():
        return Wish(ranges, JSON, streams)
    wildcard = max(ranges.get("*/*", 0.0), ranges.get("application/*", 0.0))
    graphql, plain = ranges.get(GRAPHQL_JSON, 0.0), ranges.get(JSON, wildcard)
    if not graphql and not plain:
        return Wish(ranges, None, streams)
    return Wish(ranges, GRAPHQL_JSON if graphql >= plain else JSON, streams)


def accepted(header: str) -> Mapping[str, float]:
    """Media ranges of an Accept header with their weights, as they stand."""
    found: dict[str, float] = {}
    for part in header.split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        weight = next((value[2:] for value in parameters if value.lower().startswith("q=")), "1")
        try:
            found.setdefault(media.lower(), float(weight))
        except ValueError:
            found.setdefault(media.lower(), 0.0)
    return {media: weight for media, weight in found.items() if media and weight > 0}


def takes_parts(header: str) -> bool:
    """Whether the client takes an answer in parts, in the current format; `deferSpec` names one that nobody writes any more."""
    return MULTIPART in wish_of(header).ranges and "deferspec" not in header.lower()


def prefers_html(wish: Wish) -> bool:
    """Whether a browser opens the address, rather than a program that fetches an answer."""
    ranges = wish.ranges
    return ranges.get(HTML, 0.0) > max(ranges.get(JSON, 0.0), ranges.get(GRAPHQL_JSON, 0.0))
