"""A schema with every construct, whose data is a function of a seed: values, nulls, wrong values and errors."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any

import strawberry
from strawberry.permission import BasePermission
from strawberry.scalars import JSON
from strawberry.schema.config import StrawberryConfig

from fullon_master_api.errors import Forbidden
from fullon_master_api.executor.fields import RowsOf, batched, rooted
from fullon_master_api.executor.fragments import Lasting
from fullon_master_api.executor.scalars import SCALARS, BigInt


@dataclass
class Ctx:
    """Context of one execution; `fault` is the share of positions that misbehave."""

    seed: int = 0
    fault: float = 0.0
    waits: bool = False
    request_id: str = "law"
    principal: None = None
    loaders: dict[Any, Any] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    calls: list[tuple[str, int]] = field(default_factory=list)


@strawberry.enum
class Genre(Enum):
    NOVEL = "novel"
    POEM = "poem"
    ESSAY = 3


class Row:
    """A record; each attribute is a function of the seed, the row and the name."""

    def __init__(self, ctx: Ctx, name: str) -> None:
        self._ctx = ctx
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return value_of(self._ctx, f"{self._name}.{name}", name)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._same() == other._same()

    def __hash__(self) -> int:
        return hash(self._same())

    def _same(self) -> tuple[object, ...]:
        return self._ctx.seed, self._ctx.fault, self._name


class BookRow(Row):
    pass


class FilmRow(Row):
    pass


class BoxRow(Row):
    pass


def dice(ctx: Ctx, place: str) -> random.Random:
    return random.Random(f"{ctx.seed}:{place}")


WRONG: tuple[Any, ...] = (None, object, "text", float("nan"), 2**40, [], {"a": 1}, b"bytes", 1.5, True, "")


def value_of(ctx: Ctx, place: str, name: str) -> Any:
    """A value that fits the attribute, or, as often as the context says, one that does not."""
    chance = dice(ctx, place)
    if chance.random() < ctx.fault:
        kind = chance.randrange(4)
        if kind == 0:
            raise Forbidden(f"no {place}")
        if kind == 1:
            return ValueError(f"returned {place}")
        # A JSON scalar passes anything on, also what no encoder can write; that is not the executor's to judge.
        return chance.choice(WRONG) if name != "meta" else None
    kind_of = name.removeprefix("maybe_")
    if name.startswith("maybe_") and chance.random() < 0.3:
        return None
    return GOOD[kind_of](chance, ctx, place)


GOOD: dict[str, Any] = {
    "id": lambda chance, ctx, place: chance.choice([chance.randrange(99), "x1"]),
    "text": lambda chance, ctx, place: chance.choice(["", 'quo"te\\', "ünï\n\u2028", "plain", Genre.POEM.value]),
    "count": lambda chance, ctx, place: chance.randrange(-5, 10**6),
    "ratio": lambda chance, ctx, place: chance.choice([0.5, 1e-7, 3, 1e22]),
    "flag": lambda chance, ctx, place: chance.random() < 0.5,
    "price": lambda chance, ctx, place: chance.choice([Decimal("1E-7"), "12.50", Decimal(3), 4]),
    "at": lambda chance, ctx, place: chance.choice([datetime(2025, 1, 2, tzinfo=UTC), 1_700_000_000_123_000_000]),
    "big": lambda chance, ctx, place: 2 ** chance.randrange(80),
    "genre": lambda chance, ctx, place: chance.choice([*Genre, "novel"]),
    "meta": lambda chance, ctx, place: chance.choice([{"b": [1, None], "a": {}}, [], "s", 1]),
    "tags": lambda chance, ctx, place: chance.choice([["a", "b"], ("c",), {"only"}, iter(["d", "e"])]),
    "maybe_tags": lambda chance, ctx, place: ["a", None, "b"],
    "grid": lambda chance, ctx, place: [[1, 2], [], [3]],
    "holes": lambda chance, ctx, place: chance.choice([[[1, None], None, []], None]),
    "twin": lambda chance, ctx, place: BookRow(ctx, f"{place}"),
    "twins": lambda chance, ctx, place: [BookRow(ctx, f"{place}{n}") for n in range(chance.randrange(4))],
}


async def pause(ctx: Ctx, place: str) -> None:
    if ctx.waits and dice(ctx, f"pause {place}").random() < 0.5:
        await asyncio.sleep(0)


def row_of(ctx: Ctx, place: str, kinds: Sequence[type[Row]] = (BookRow, FilmRow)) -> Any:
    """A row, or as often as the context says, null, an error or something of another type."""
    chance = dice(ctx, place)
    if chance.random() < ctx.fault:
        return chance.choice([None, None, ValueError(f"row {place}"), BoxRow(ctx, place), "text"])
    return chance.choice(list(kinds))(ctx, place)


def name_of(parent: Any) -> str:
    return getattr(parent, "_name", "?")


async def books_of(parents: Sequence[Any], ctx: Ctx, *, limit: int = 2, genre: Genre | None = None) -> list[Any]:
    """A list of books for each parent."""
    ctx.calls.append(("books_of", len(parents)))
    await pause(ctx, "books_of")
    if dice(ctx, f"all books {limit} {genre}").random() < ctx.fault / 2:
        raise ValueError(f"all books {limit} {genre}")
    out: list[Any] = []
    for parent in parents:
        place = f"{name_of(parent)}/books{limit}{genre and genre.name}"
        chance = dice(ctx, f"list {place}")
        if chance.random() < ctx.fault:
            out.append(chance.choice([None, ValueError(f"list {place}"), 7, "text"]))
        else:
            out.append([row_of(ctx, f"{place}{n}", [BookRow]) for n in range(min(limit, 4))])
    return out


def films_of(parents: Sequence[Any], ctx: Ctx) -> list[Any]:
    """Films of each parent, which are the same whenever they are asked."""
    places = [f"{name_of(parent)}/films" for parent in parents]
    return [Lasting((row_of(ctx, f"{place}{n}", [FilmRow]) for n in range(3)), place) for place in places]


async def thing_of(parents: Sequence[Any], ctx: Ctx) -> list[Any]:
    """One thing for each parent."""
    ctx.calls.append(("thing_of", len(parents)))
    await pause(ctx, "thing_of")
    return [row_of(ctx, f"{name_of(parent)}/thing") for parent in parents]


def score_of(parents: Sequence[Any], ctx: Ctx, *, by: Weights | None = None, among: list[int] | None = None) -> list[Any]:
    """A number for each parent, without waiting."""
    ctx.calls.append(("score_of", len(parents)))
    weight = (by.factor if by else 1) + sum(among or [])
    out: list[Any] = []
    for parent in parents:
        try:
            out.append(value_of(ctx, f"{name_of(parent)}/score{weight}", "count"))
        except Forbidden as error:
            out.append(error)
    return out


async def get_things(ctx: Ctx, *, count: int = 3) -> list[Any]:
    await pause(ctx, "things")
    return [row_of(ctx, f"thing{n}") for n in range(max(0, min(count, 5)))]


async def get_book(ctx: Ctx, *, title: str = "one", price: Decimal | None = None) -> Any:
    return row_of(ctx, f"book {title} {price}", [BookRow])


async def get_boxes(ctx: Ctx) -> Any:
    chance = dice(ctx, "boxes")
    if chance.random() < ctx.fault:
        raise ValueError("no boxes")
    return [row_of(ctx, f"box{n}", [BoxRow, BookRow, FilmRow]) for n in range(3)]


async def make_change(ctx: Ctx, *, to: Weights) -> Any:
    ctx.log.append(f"change {to.factor} {to.name} {to.inner and to.inner.factor}")
    await asyncio.sleep(0)
    ctx.log.append(f"changed {to.factor}")
    return row_of(ctx, f"changed {to.factor}", [BookRow])


class Odd(BasePermission):
    """Lets in by the seed."""

    message = "not today"

    def has_permission(self, source: Any, info: strawberry.Info, **kwargs: Any) -> bool:
        ctx: Ctx = info.context
        return dice(ctx, f"allow {name_of(source)}").random() >= ctx.fault


@strawberry.input
class Weights:
    factor: int = 1
    name: str | None = None
    inner: Weights | None = None


@strawberry.input(one_of=True)
class Either:
    left: strawberry.Maybe[int]
    right: strawberry.Maybe[str]


@strawberry.interface
class Thing:
    id: strawberry.ID
    maybe_text: str | None
    books: list[Book] = batched(books_of, description="books of it", cost=2)
    thing: Thing | None = batched(thing_of, description="another")
    films: list[Film] = batched(films_of, description="films of it")
    maybe_films: list[Film | None] | None = batched(films_of, description="films that may be missing")


@strawberry.type
class Book(Thing):
    count: int
    maybe_count: int | None
    text: str
    ratio: float
    maybe_ratio: float | None
    flag: bool
    price: Decimal
    maybe_price: Decimal | None
    at: datetime
    maybe_at: datetime | None
    big: BigInt
    genre: Genre
    maybe_genre: Genre | None
    meta: JSON
    tags: list[str]
    maybe_tags: list[str | None] | None
    grid: list[list[int]]
    holes: list[list[int | None] | None] | None
    twin: Book
    maybe_twin: Book | None
    twins: list[Book]
    maybe_twins: list[Book | None] | None
    maybe_books: list[Book | None] | None = batched(books_of, description="books that may be missing")
    sure: Thing = batched(thing_of, description="required")
    score: int = batched(score_of, description="a number", arguments={"by": "weights"})
    maybe_score: int | None = batched(score_of, description="a number or none")

    @strawberry.field
    def shout(self: Any, times: int = 1) -> str:
        return f"{name_of(self)}" * times

    @strawberry.field
    async def later(self: Any, info: strawberry.Info, either: Either | None = None) -> int | None:
        await pause(info.context, f"{name_of(self)}/later")
        chosen = either.left.value if either and either.left else either.right.value if either and either.right else ""
        value: int = value_of(info.context, f"{name_of(self)}/later{chosen}", "count")
        return value

    @strawberry.field(permission_classes=[Odd])  # type: ignore[untyped-decorator]
    def secret(self: Any) -> str | None:
        return "secret"

    @strawberry.field
    def where(self, info: strawberry.Info) -> str:
        return ".".join(str(key) for key in info.path.as_list())

    @strawberry.field
    def counted(root: strawberry.Parent[Any]) -> list[int]:  # noqa: N805
        return iter(range(3))  # type: ignore[return-value]

    @strawberry.field
    async def streamed(self: Any, info: strawberry.Info) -> list[int]:
        async def source() -> AsyncGenerator[int]:
            yield 1
            value: Any = value_of(info.context, f"{name_of(self)}/streamed", "count")
            yield value

        return source()  # type: ignore[return-value]

    @classmethod
    def is_type_of(cls, obj: Any, _info: Any) -> bool:
        return isinstance(obj, BookRow)


@strawberry.type
class Film(Thing):
    count: int
    maybe_count: int | None
    text: str
    twin: Book
    is_type_of = RowsOf(FilmRow)


@strawberry.type
class Box:
    count: int
    maybe_text: str | None

    @classmethod
    def is_type_of(cls, obj: Any, _info: Any) -> bool:
        return isinstance(obj, BoxRow)


Item = Annotated[Book | Film | Box, strawberry.union("Item")]


@strawberry.type
class Query:
    things: list[Thing] = rooted(get_things, description="things")
    maybe_things: list[Thing | None] | None = rooted(get_things, description="things that may be missing")
    book: Book = rooted(get_book, description="a book")
    maybe_book: Book | None = rooted(get_book, description="a book or none")
    items: list[Item | None] | None = rooted(get_boxes, description="all kinds")
    sure_items: list[Item] = rooted(get_boxes, description="all kinds")

    @strawberry.field
    def matrix(self, info: strawberry.Info, size: int = 2) -> list[list[Book | None]] | None:
        ctx: Ctx = info.context
        return [[row_of(ctx, f"m{row}{n}", [BookRow]) for n in range(row)] for row in range(max(0, min(size, 3)))]

    @strawberry.field
    def constant(self) -> int:
        return 4


@strawberry.type
class Mutation:
    change: Book = rooted(make_change, description="changes")
    maybe_change: Book | None = rooted(make_change, description="changes")


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def book(self, info: strawberry.Info, count: int = 2) -> AsyncGenerator[Book]:
        for number in range(count):
            yield row_of(info.context, f"event{number}", [BookRow])


schema = strawberry.Schema(Query, Mutation, Subscription, types=[Box], config=StrawberryConfig(scalar_map=SCALARS))
