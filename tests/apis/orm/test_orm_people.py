"""Users, refresh tokens, API keys and accounts: who sees and changes what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest

from fullon_master_api.apis.orm import Orm, Secrets
from fullon_master_api.apis.orm.users import UserFilter
from fullon_master_api.errors import BadUserInput, Conflict, Forbidden, NotFound, TokenExpired, Unauthenticated, Unavailable
from fullon_master_api.model import Balance, Scope
from tests.apis.orm.conftest import World


async def test_a_user_sees_themself_and_nobody_else_and_an_admin_sees_all(orm: Orm, world: World) -> None:
    uids = [world.ben.uid, world.ana.uid, 999]
    assert [user and user.uid for user in await orm.users.get_many(uids, world.ana)] == [None, world.ana.uid, None]
    assert [user and user.uid for user in await orm.users.get_many(uids, world.admin)] == [world.ben.uid, world.ana.uid, None]
    assert [user.mail for user in (await orm.users.page(world.ana)).rows] == ["ana@fullon"]
    page = await orm.users.page(world.admin, filters=UserFilter(search="AN"), total=True)
    assert ([user.mail for user in page.rows], page.total) == (["ana@fullon"], 1)


async def test_a_user_changes_their_name_and_not_their_role(orm: Orm, world: World) -> None:
    assert (await orm.users.modify(world.ana.uid, world.ana, {"name": "Anna"})).name == "Anna"
    with pytest.raises(Forbidden):
        await orm.users.modify(world.ana.uid, world.ana, {"role": "ADMIN"})
    with pytest.raises(NotFound):
        await orm.users.modify(world.ben.uid, world.ana, {"name": "x"})
    with pytest.raises(BadUserInput) as refused:
        await orm.users.modify(world.ana.uid, world.admin, {"name": "x" * 51})
    assert refused.value.path == ("name",)
    assert (await orm.users.get_many([world.ana.uid], None))[0] == await _renamed(orm, world)


async def _renamed(orm: Orm, world: World) -> object:
    credentials = await orm.users.credentials_by_mail("ana@fullon")
    assert credentials is not None
    assert credentials.user.name == "Anna"
    return credentials.user


async def test_a_mail_is_taken_whatever_its_case(orm: Orm, world: World) -> None:
    with pytest.raises(Conflict):
        await orm.users.add(world.admin, {"mail": "ANA@fullon"}, password_hash="x")
    with pytest.raises(Forbidden):
        await orm.users.add(world.ana, {"mail": "new@fullon"}, password_hash="x")
    assert await orm.users.credentials_by_mail("ANA@fullon") is None


async def test_a_new_password_ends_tokens_and_a_stolen_refresh_token_ends_its_family(orm: Orm, world: World) -> None:
    later = datetime.now(UTC) + timedelta(days=1)
    uid = world.ana.uid
    await orm.users.add_refresh_token(uid, "first", family="f", expires_at=later, token_version=0)
    assert (await orm.users.rotate_refresh_token("first", "second", expires_at=later)).uid == uid
    with pytest.raises(Unauthenticated):
        await orm.users.rotate_refresh_token("first", "third", expires_at=later)
    with pytest.raises(Unauthenticated):
        await orm.users.rotate_refresh_token("second", "third", expires_at=later)
    await orm.users.add_refresh_token(
        uid, "old", family="g", expires_at=datetime.now(UTC) - timedelta(seconds=1), token_version=0
    )
    with pytest.raises(TokenExpired):
        await orm.users.rotate_refresh_token("old", "new", expires_at=later)
    await orm.users.add_refresh_token(uid, "other", family="h", expires_at=later, token_version=0)
    await orm.users.set_password_hash(uid, "y", world.ana)
    with pytest.raises(Unauthenticated):
        await orm.users.rotate_refresh_token("other", "new", expires_at=later)
    (facts,) = await orm.users.principal_facts([uid])
    assert facts is not None
    assert facts.token_version == 1


async def test_an_inactive_user_cannot_refresh(orm: Orm, world: World) -> None:
    later = datetime.now(UTC) + timedelta(days=1)
    await orm.users.add_refresh_token(world.ana.uid, "first", family="f", expires_at=later, token_version=0)
    assert not (await orm.users.toggle_active(world.ana.uid, world.admin)).active
    with pytest.raises(Unauthenticated):
        await orm.users.rotate_refresh_token("first", "second", expires_at=later)


async def test_a_user_who_traded_stays_and_one_who_did_not_may_go(orm: Orm, world: World) -> None:
    await orm.orders.place(world.ana, {"symbol": "BTC/USD", "side": "buy", "order_type": "market", "volume": 1})
    with pytest.raises(Conflict):
        await orm.users.remove(world.ana.uid, world.admin)
    assert (await orm.users.get_many([world.ana.uid], None))[0] is not None
    await orm.users.remove(world.ben.uid, world.admin)
    assert await orm.bots.get_many([world.ben_bot.bot_id], None) == [None]


async def test_a_key_is_found_by_its_hash_with_its_owner_and_never_by_another_user(orm: Orm, world: World) -> None:
    key = await orm.api_keys.add(world.ana, key_hash="a" * 64, prefix="fullon_ak_x", name="mine", scopes=["read", "write"])
    found = await orm.api_keys.find("a" * 64)
    assert found is not None
    assert (found.key, found.owner.uid, found.owner.active) == (key, world.ana.uid, True)
    assert await orm.api_keys.get_many([key.api_key_id], world.ben) == [None]
    with pytest.raises(NotFound):
        await orm.api_keys.deactivate(key.api_key_id, world.ben)
    assert (await orm.api_keys.deactivate(key.api_key_id, world.ana)).is_active is False
    with pytest.raises(Forbidden):
        await orm.api_keys.add(world.ana, key_hash="b" * 64, prefix="p", name="more", scopes=["admin"])


async def test_a_key_that_may_only_read_changes_nothing(orm: Orm, world: World) -> None:
    from tests.apis.orm.conftest import principal_of

    (ana,) = await orm.users.get_many([world.ana.uid], None)
    assert ana is not None
    reader = principal_of(ana, Scope.READ)
    with pytest.raises(Forbidden):
        await orm.users.modify(ana.uid, reader, {"name": "x"})
    with pytest.raises(Forbidden):
        await orm.bots.add(reader, {"name": "x"})
    with pytest.raises(Forbidden):
        await orm.orders.place(reader, {"symbol": "BTC/USD", "side": "buy", "order_type": "market", "volume": 1})
    with pytest.raises(Forbidden):
        await orm.api_keys.add(reader, key_hash="c" * 64, prefix="p", name="more", scopes=["read"])
    assert (await orm.bots.page(world.ana)).rows == [world.ana_bot]


async def test_last_use_is_written_at_most_once_a_minute(orm: Orm, world: World) -> None:
    key = await orm.api_keys.add(world.ana, key_hash="a" * 64, prefix="p", name="mine", scopes=["read"])
    await orm.api_keys.touch(key.api_key_id)
    (once,) = await orm.api_keys.get_many([key.api_key_id], None)
    await orm.api_keys.touch(key.api_key_id)
    (twice,) = await orm.api_keys.get_many([key.api_key_id], None)
    assert once is not None
    assert once.last_used_at is not None
    assert twice == once


async def test_credentials_are_sealed_bound_to_their_account_and_survive_a_new_key(orm: Orm, world: World, url: str) -> None:
    from sqlalchemy import select

    from fullon_master_api.apis.orm import open_orm
    from fullon_master_api.apis.orm.tables import exchange_credentials
    from tests.apis.orm.conftest import KEY

    ex_id = world.ana_account.ex_id
    await orm.accounts.modify(ex_id, world.ana, {}, secrets=Secrets("my-key", "my-secret"))
    assert await orm.accounts.credentials(ex_id) == Secrets("my-key", "my-secret")
    async with orm.database.read() as connection:
        sealed = await connection.scalar(select(exchange_credentials.c.sealed))
    assert sealed is not None
    assert b"secret" not in sealed
    newer = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY="
    async with open_orm(url, credentials_key=f"{newer},{KEY}") as rotating:
        assert await rotating.accounts.rotate_credentials() == 1
        assert await rotating.accounts.rotate_credentials() == 0
    async with open_orm(url, credentials_key=newer) as rotated:
        assert await rotated.accounts.credentials(ex_id) == Secrets("my-key", "my-secret")
    with pytest.raises(Unavailable):
        await orm.accounts.credentials(ex_id)


async def test_admin_actions_leave_an_audit_that_only_admins_read(orm: Orm, world: World) -> None:
    await orm.users.toggle_active(world.ben.uid, world.admin)
    (entry,) = (await orm.audit.page(world.admin, action="user.active")).rows
    assert (entry.uid, entry.mail, entry.subject, entry.detail) == (
        world.admin.uid,
        "admin@fullon",
        f"user:{world.ben.uid}",
        {"active": False},
    )
    with pytest.raises(Forbidden):
        await orm.audit.page(world.ana)


async def test_what_an_admin_does_with_anothers_things_is_audited_and_what_the_owner_does_is_not(orm: Orm, world: World) -> None:
    bot_id = world.ana_bot.bot_id
    await orm.bots.modify(bot_id, world.ana, {"name": "mine"})
    await orm.bots.modify(bot_id, world.admin, {"name": "not mine"})
    asked = {"bot_id": bot_id, "symbol": "BTC/USD", "side": "buy", "order_type": "market", "volume": 1}
    order = await orm.orders.place(world.admin, asked)
    await orm.orders.cancel(order.order_id, world.admin)
    fill = await orm.dry_trades.save(
        {"bot_id": bot_id, "symbol": "BTC/USD", "side": "buy", "volume": 1, "price": 1}, principal=world.admin
    )
    await orm.dry_trades.remove(fill.trade_id, world.admin)
    entries = (await orm.audit.page(world.admin, uid=world.admin.uid, order="audit_id")).rows
    assert [(entry.action, entry.subject) for entry in entries] == [
        ("bot.modify", f"bot:{bot_id}"),
        ("order.place", f"order:{order.order_id}"),
        ("order.cancel", f"order:{order.order_id}"),
        ("dry_trade.save", f"dry_trade:{fill.trade_id}"),
        ("dry_trade.remove", f"dry_trade:{fill.trade_id}"),
    ]
    assert (await orm.audit.page(None, uid=world.ana.uid, action="bot.modify")).rows == []


async def test_the_trail_of_balances_is_its_owners(orm: Orm, world: World) -> None:
    ex_id = world.ana_account.ex_id
    for total in ("1.50", "0.00000001"):
        number = Decimal(total)
        held = Balance(ex_id=ex_id, currency="BTC", total=number, free=number, used=Decimal(0), updated_ns=1)
        assert await orm.balance_history.save(ex_id, [held]) == 1
    mine, none = await orm.balance_history.of_accounts([ex_id, world.ben_account.ex_id], world.ana)
    assert [line.balance for line in mine.rows] == [Decimal("0.00000001"), Decimal("1.5")]
    assert none.rows == []
    assert await orm.balance_history.newest(ex_id) == {"BTC": Decimal("0.00000001")}
    (hidden,) = await orm.balance_history.of_accounts([ex_id], world.ben)
    assert hidden.rows == []
    with pytest.raises(NotFound):
        await orm.balance_history.save(999, [])


async def test_a_login_that_began_before_the_password_changed_gets_no_session(orm: Orm, world: World) -> None:
    later = datetime.now(UTC) + timedelta(days=1)
    await orm.users.set_password_hash(world.ana.uid, "y", world.ana)
    with pytest.raises(Unauthenticated):
        await orm.users.add_refresh_token(world.ana.uid, "late", family="f", expires_at=later, token_version=0)
    await orm.users.toggle_active(world.ana.uid, world.admin)
    with pytest.raises(Unauthenticated):
        await orm.users.add_refresh_token(world.ana.uid, "off", family="f", expires_at=later, token_version=1)
    with pytest.raises(Unauthenticated):
        await orm.users.rotate_refresh_token("late", "new", expires_at=later)


async def test_a_key_neither_makes_nor_changes_keys_and_may_end_them(orm: Orm, world: World) -> None:
    """Else it would outlive its own end, and bring back what its owner switched off."""
    key = await orm.api_keys.add(world.ana, key_hash="a" * 64, prefix="p", name="mine", scopes=["read", "write"])
    other = await orm.api_keys.add(world.ana, key_hash="b" * 64, prefix="p", name="other", scopes=["read"])
    by_key = msgspec.structs.replace(world.ana, api_key_id=key.api_key_id)

    with pytest.raises(Forbidden, match="makes and changes no keys"):
        await orm.api_keys.add(by_key, key_hash="c" * 64, prefix="p", name="child", scopes=["read"])
    for values in ({"expires_at": None}, {"is_active": True}, {"name": "x"}):
        with pytest.raises(Forbidden, match="makes and changes no keys"):
            await orm.api_keys.modify(key.api_key_id, by_key, values)
    assert (await orm.api_keys.deactivate(other.api_key_id, by_key)).is_active is False


async def test_an_admin_does_not_lock_themself_out(orm: Orm, world: World) -> None:
    for values in ({"active": False}, {"role": "user"}):
        with pytest.raises(BadUserInput) as refused:
            await orm.users.modify(world.admin.uid, world.admin, values)
        assert refused.value.path == tuple(values)
    assert (await orm.users.modify(world.admin.uid, world.admin, {"active": True, "role": "admin", "name": "x"})).name == "x"


async def test_a_dry_fill_hangs_on_an_order_of_its_own_account_only(orm: Orm, world: World) -> None:
    fill = {"symbol": "BTC/USD", "side": "buy", "volume": 1, "price": 1}
    order = await orm.orders.place(world.ana, {"symbol": "BTC/USD", "side": "buy", "order_type": "market", "volume": 1})
    told = []
    for principal, order_id in ((world.ben, order.order_id), (world.ben, 999_999)):
        with pytest.raises(NotFound) as refused:
            await orm.dry_trades.save(fill | {"order_id": order_id}, principal=principal)
        told.append(refused.value.message.replace(str(order_id), "N"))

    assert told == ["no order N"] * 2
    saved = await orm.dry_trades.save(fill | {"order_id": order.order_id}, principal=world.ana)
    assert saved.order_id == order.order_id


async def test_a_password_is_not_put_back_by_a_login_that_began_before_it_changed(orm: Orm, world: World) -> None:
    before = await orm.users.credentials_by_mail(world.ana.mail)
    assert before is not None
    await orm.users.set_password_hash(world.ana.uid, "new", world.ana)

    await orm.users.rehash_password(world.ana.uid, "old, made anew", token_version=before.token_version)

    after = await orm.users.credentials_by_mail(world.ana.mail)
    assert after is not None
    assert after.password_hash == "new"
