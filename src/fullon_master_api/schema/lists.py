"""Relay connections: a page of a list, with cursors to go on from."""

from __future__ import annotations

from typing import Generic, TypeVar

import strawberry

from fullon_master_api.executor.fields import HANDED_ON, batched
from fullon_master_api.resolvers import pages

T = TypeVar("T")


@strawberry.type(description="Where a page stands in its list.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="Whether more rows follow this page.")
    has_previous_page: bool = strawberry.field(description="Whether the page was asked for with `after`.")
    start_cursor: str | None = strawberry.field(description="Cursor of the first row, null on an empty page.")
    end_cursor: str | None = strawberry.field(description="Cursor of the last row: give it as `after` for the next page.")


@strawberry.type(description="A row of a page with its cursor.")
class Edge(Generic[T]):
    cursor: str = strawberry.field(description="Opaque place of this row in the list.")
    node: T = strawberry.field(description="The row.", metadata={HANDED_ON: True})


@strawberry.type(description="A page of a list.")
class Connection(Generic[T]):
    rows: list[T] = strawberry.field(name="nodes", description="The rows, without their cursors.", metadata={HANDED_ON: True})
    edges: list[Edge[T]] = batched(pages.edges_of, description="The rows, each with its cursor.", handed_on=True)
    page_info: PageInfo = batched(pages.infos_of, description="Whether there is more, and where it begins.")
