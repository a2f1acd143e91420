"""Expected failures are told in the graph's words, not in those of the stores."""

from __future__ import annotations

import pytest

from fullon_master_api.errors import BadUserInput, Conflict, ErrorCode, GatewayError
from fullon_master_api.resolvers.faults import UserErrorRow, user_error


@pytest.mark.parametrize(
    ("error", "message", "path"),
    [
        (
            BadUserInput("volume was -1, must be above 0", path=("volume",)),
            "quantity was -1, must be above 0",
            ["input", "quantity"],
        ),
        (BadUserInput("take_profit was x", path=(1, "take_profit")), "takeProfit was x", ["input", "1", "takeProfit"]),
        (Conflict("the name is taken", path=("name",)), "the name is taken", ["input", "name"]),
        (Conflict("volumes differ"), "volumes differ", None),
    ],
)
def test_a_message_names_the_field_that_its_path_names(error: GatewayError, message: str, path: list[str] | None) -> None:
    assert user_error(error) == UserErrorRow(code=ErrorCode(error.code), message=message, path=path)
