"""Values on their way into the stores and back: money, instants, spellings, sealed secrets."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import literal, select

from fullon_master_api.apis.orm import Orm, Secrets
from fullon_master_api.apis.orm.columns import Money, UtcTime, canonical
from fullon_master_api.apis.orm.spellings import parse
from fullon_master_api.apis.orm.vault import Vault
from fullon_master_api.errors import BadUserInput, Unavailable
from fullon_master_api.model import OrderStatus, OrderType, Role, Side

ON_A_STORE = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@st.composite
def numbers(draw: st.DrawFn) -> Decimal:
    digits = draw(st.integers(-(10**30), 10**30))
    return Decimal(digits).scaleb(-draw(st.integers(0, 30)))


@given(numbers())
def test_equal_numbers_have_one_text_without_exponent_or_trailing_zeros(number: Decimal) -> None:
    text = format(canonical(number), "f")
    assert Decimal(text) == number
    assert format(canonical(Decimal(f"{number:f}000" if "." in f"{number:f}" else f"{number:f}.000")), "f") == text
    assert not set(text) & set("eE+")
    assert "." not in text or not text.endswith("0")
    assert text != "-0"


@pytest.mark.parametrize("text", ["NaN", "sNaN", "Infinity", "-Infinity", "1e38", "1e-39", "1e999999", "9" * 39])
def test_a_number_that_no_store_keeps_exactly_is_refused(text: str) -> None:
    with pytest.raises(BadUserInput):
        canonical(Decimal(text))


@ON_A_STORE
@given(number=numbers())
async def test_money_comes_back_as_it_went_in(orm: Orm, number: Decimal) -> None:
    async with orm.database.read() as connection:
        found = await connection.scalar(select(literal(number, Money())))
    assert (type(found), found) == (Decimal, number)


@ON_A_STORE
@given(
    moment=st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)),  # noqa: DTZ001
    offset=st.integers(-14 * 60, 14 * 60),
)
async def test_an_instant_comes_back_the_same_and_in_utc(orm: Orm, moment: datetime, offset: int) -> None:
    given_at = moment.replace(tzinfo=timezone(timedelta(minutes=offset)))
    async with orm.database.read() as connection:
        found = await connection.scalar(select(literal(given_at, UtcTime())))
    assert found == given_at
    assert found is not None
    assert found.tzinfo is UTC


SPELLINGS: list[tuple[StrEnum, str]] = [
    *((Side.BUY, word) for word in ("buy", "Buy", "BUY")),
    *((Side.SELL, word) for word in ("sell", "Sell", "SELL")),
    *((OrderType.STOP_LIMIT, word) for word in ("stop_limit", "stop-limit", "STOP LIMIT")),
    *((OrderType.STOP, word) for word in ("stop", "stop-loss", "stop_loss")),
    (OrderType.TAKE_PROFIT, "take-profit"),
    (OrderType.MARKET, "MARKET"),
    *((OrderStatus.NEW, word) for word in ("New", "new", "NEW")),
    *((OrderStatus.PENDING, word) for word in ("pending", "PENDING")),
    *((OrderStatus.OPEN, word) for word in ("open", "Open")),
    (OrderStatus.PARTIALLY_FILLED, "partially_filled"),
    *((OrderStatus.FILLED, word) for word in ("filled", "Filled", "FILLED", "closed", "Closed")),
    *((OrderStatus.CANCELED, word) for word in ("canceled", "cancelled", "CANCELLED")),
    *((OrderStatus.REJECTED, word) for word in ("rejected", "REJECTED")),
    (OrderStatus.ERROR, "error"),
    (OrderStatus.EXPIRED, "expired"),
    *((Role.ADMIN, word) for word in ("ADMIN", "admin")),
]


@pytest.mark.parametrize(("meant", "text"), SPELLINGS)
def test_every_spelling_of_the_platform_is_understood(meant: StrEnum, text: str) -> None:
    assert parse(type(meant), text) is meant


def test_an_unknown_word_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BadUserInput, match="side was 'hold', must be one of buy, sell") as refused:
        parse(Side, "hold", path=("side",))
    assert refused.value.path == ("side",)


# ---- the vault ---------------------------------------------------------------------------------------------------------

UTF8 = st.characters(codec="utf-8")
OLD, NEW = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))


@given(key=st.text(UTF8, max_size=50), secret=st.text(UTF8, max_size=50), ex_id=st.integers(1, 2**63 - 1))
def test_what_is_sealed_opens_for_its_account_with_any_kept_key(key: str, secret: str, ex_id: int) -> None:
    secrets = Secrets(key, secret)
    key_id, sealed = Vault(OLD).seal(ex_id, secrets)
    assert Vault(f"{NEW},{OLD}").open(ex_id, key_id, sealed) == secrets
    with pytest.raises(Unavailable):
        Vault(NEW).open(ex_id, key_id, sealed)
    with pytest.raises(Unavailable):
        Vault(OLD).open(ex_id + 1, key_id, sealed)
    with pytest.raises(Unavailable):
        Vault(OLD).open(ex_id, key_id, sealed[:-1] + bytes([sealed[-1] ^ 1]))


def test_secrets_do_not_show_in_a_repr_and_bad_keys_are_refused_at_start() -> None:
    assert "hidden" not in repr(Secrets("hidden", "hidden"))
    with pytest.raises(Unavailable):
        Vault(None).seal(1, Secrets("a", "b"))
    for bad in ("not base64!", base64.b64encode(b"short").decode()):
        with pytest.raises(ValueError, match="CREDENTIALS_KEY"):
            Vault(bad)
    assert Vault(base64.urlsafe_b64encode(b"\xff" * 32).decode().rstrip("=")).key_id is not None
