"""Expected failures of a mutation, as data."""

from __future__ import annotations

import strawberry

from fullon_master_api.errors import ErrorCode


@strawberry.type(description="What was wrong with the input of a mutation.")
class UserError:
    code: ErrorCode = strawberry.field(description="From the closed list of codes.")
    message: str = strawberry.field(description="What was found and what is allowed.")
    path: list[str] | None = strawberry.field(description="Where in the arguments, as `[input, price]`.")
