"""`Node`: what has a global id can be asked for by it."""

from __future__ import annotations

import strawberry


@strawberry.interface(description="A thing with a global id, for `node(id:)`.")
class Node:
    id: strawberry.ID = strawberry.field(description="Global id: opaque, the same for ever.")
