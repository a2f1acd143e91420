"""Every route of the ORM with every kind of caller: who is answered, who is refused, and that a refusal changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from fullon_master_api.apis.orm import Orm
from fullon_master_api.apis.orm.schema import metadata
from tests.rest.orm.conftest import PREFIX, Client, Stage

CHANGING = {"POST", "PUT", "PATCH", "DELETE"}


@dataclass(frozen=True)
class Case:
    """A request about something of the trader's.

    `whose` is "own": the trader's thing, which for others is not there; "listed": a list in which each sees their own;
    "open": the same for everybody who is signed in; "admin": refused to all but admins; "self": about the caller.
    """

    method: str
    path: str
    whose: str
    body: Any = None


ORDER = {"bot_id": "{bot}", "symbol": "BTC/USD", "side": "buy", "order_type": "market", "volume": 1}
FILL = {"bot_id": "{bot}", "symbol": "BTC/USD", "side": "buy", "volume": 1, "price": 1}
STRATEGY = {"bot_id": "{bot}", "cat_str_id": 1}
USER = {"mail": "x@y", "password": "long enough"}

CASES = [
    Case("GET", "/users", "listed"),
    Case("GET", "/users/me", "self"),
    Case("GET", "/users/by-email/trader@fullon", "own"),
    Case("GET", "/users/search?q=trader", "listed"),
    Case("GET", "/users/active", "listed"),
    Case("POST", "/users/", "admin", USER),
    Case("GET", "/users/{user}", "own"),
    Case("PATCH", "/users/{user}", "own", {"name": "x"}),
    Case("PATCH", "/users/{user}/password", "own", {"password": "long enough"}),
    Case("PATCH", "/users/{user}/toggle-active", "admin"),
    Case("DELETE", "/users/{user}", "admin"),
    Case("POST", "/bots/", "own", {"uid": "{user}", "name": "x"}),
    Case("GET", "/bots/by-user?user_id={user}", "listed"),
    *(
        Case("GET", f"/bots/{{bot}}/{end}", "own")
        for end in ("details", "feeds", "strategies", "stats", "actions", "exchanges", "last-log")
    ),
    Case("PATCH", "/bots/{bot}", "own", {"name": "x"}),
    Case("GET", "/exchanges/catalog", "open"),
    Case("GET", "/exchanges/catalog/1/params", "open"),
    Case("GET", "/exchanges/catalog/1/symbols", "open"),
    Case("GET", "/exchanges/user-exchanges", "listed"),
    Case("POST", "/exchanges/user-exchanges", "own", {"uid": "{user}", "cat_ex_id": 1, "name": "x"}),
    Case("PATCH", "/exchanges/user-exchanges/{account}", "own", {"test": True}),
    Case("GET", "/exchanges/id-by-name?name=paper", "own"),
    Case("GET", "/exchanges/catalog-id?exchange_name=kraken", "open"),
    Case("GET", "/strategies/catalog", "open"),
    Case("POST", "/strategies/catalog", "admin", {"name": "x"}),
    Case("GET", "/strategies/catalog-id?name=llm_trader", "open"),
    Case("GET", "/strategies/catalog/1", "open"),
    Case("GET", "/strategies/catalog/1/params", "open"),
    Case("GET", "/strategies/bot-strategies?bot_id={bot}", "own"),
    Case("POST", "/strategies/bot-strategies", "own", STRATEGY),
    Case("GET", "/strategies/bot-strategies/{strategy}", "own"),
    Case("PUT", "/strategies/bot-strategies/{strategy}", "own", {"name": "x"}),
    Case("PUT", "/strategies/bot-strategies/{strategy}/params", "own", {"x": 1}),
    Case("GET", "/strategies/user-strategies", "listed"),
    Case("POST", "/orders/", "own", ORDER),
    Case("GET", "/orders/by-bot?bot_id={bot}", "own"),
    Case("GET", "/orders/open", "listed"),
    Case("GET", "/orders/history", "listed"),
    Case("GET", "/orders/stats", "listed"),
    Case("GET", "/orders/by-symbol?symbol=BTC/USD", "listed"),
    Case("PUT", "/orders/{order}/status", "own", {"status": "filled"}),
    Case("GET", "/trades/bot?bot_id={bot}", "own"),
    *(
        Case("GET", f"/trades/{end}", "listed")
        for end in ("by-bot", "by-symbol", "history", "live", "performance", "stats", "stats/overall", "summary")
    ),
    Case("GET", "/trades/symbol-performance", "listed"),
    Case("POST", "/trades/bot", "own", FILL),
    Case("POST", "/trades/dry", "own", FILL),
    Case("POST", "/trades/live", "own", FILL),
    Case("PATCH", "/trades/{fill}?trade_type=dry", "own", {"reason": "x"}),
    Case("GET", "/symbols/by-exchange?cat_ex_id=1", "open"),
    Case("GET", "/symbols/search?q=BTC", "open"),
    Case("GET", "/symbols/decimals?symbol=BTC/USD", "open"),
    Case("POST", "/symbols", "admin", {"symbol": "X/USD", "cat_ex_id": 1}),
    Case("PATCH", "/symbols/1", "admin", {"active": True}),
    Case("GET", "/views/bot-dashboard/{user}", "own"),
    *(
        Case("GET", f"/views/{end}?user_id={{user}}", "own")
        for end in ("trading-overview", "performance-metrics", "user-summary", "portfolio-stats", "risk-metrics")
    ),
    Case("POST", "/api_keys/me", "self", {"name": "x"}),
    Case("GET", "/api_keys/me", "listed"),
    Case("GET", "/api_keys/", "listed"),
    Case("POST", "/api_keys/", "own", {"name": "x", "uid": "{user}"}),
    Case("GET", "/api_keys/active", "listed"),
    Case("GET", "/api_keys/{key}", "own"),
    Case("PATCH", "/api_keys/{key}", "own", {"name": "x"}),
    Case("PATCH", "/api_keys/{key}/deactivate", "own"),
    Case("PATCH", "/api_keys/{key}/activate", "own"),
    # Last, because they take away what the others are about.
    Case("DELETE", "/api_keys/{key}", "own"),
    Case("DELETE", "/trades/{fill}?trade_type=dry", "own"),
    Case("DELETE", "/strategies/bot-strategies/{strategy}", "own"),
    Case("DELETE", "/bots/{bot}", "own"),
    Case("DELETE", "/exchanges/user-exchanges/{spare}", "own"),
    Case("DELETE", "/strategies/catalog/1", "admin"),
]


async def things_of(stage: Stage) -> dict[str, int]:
    """Numbers of things that are the trader's."""
    uid = stage.demo.trader.uid
    bot = (await stage.orm.bots.of_users([uid], None))[0].rows[0]
    spare = await stage.orm.accounts.add(None, {"uid": uid, "cat_ex_id": 1, "name": "spare"})
    key = await stage.orm.api_keys.add(None, key_hash="k" * 64, prefix="p", name="k", scopes=["read"], uid=uid)
    return {
        "user": uid,
        "bot": bot.bot_id,
        "account": stage.demo.trader_account.ex_id,
        "spare": spare.ex_id,
        "strategy": (await stage.orm.strategies.of_bots([bot.bot_id], None))[0][0].str_id,
        "order": (await stage.orm.orders.of_bots([bot.bot_id], None))[0].rows[0].order_id,
        "fill": (await stage.orm.dry_trades.of_bots([bot.bot_id], None))[0].rows[0].trade_id,
        "key": key.api_key_id,
    }


def filled(value: Any, things: dict[str, int]) -> Any:
    """Names between braces replaced by the things' numbers."""
    if isinstance(value, dict):
        return {key: filled(part, things) for key, part in value.items()}
    if isinstance(value, str) and value.startswith("{"):
        return things[value.strip("{}")]
    return value


async def everything(orm: Orm) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table; that a key was used may be remembered."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    async with orm.database.read() as connection:
        for table in metadata.sorted_tables:
            columns = [column for column in table.c if column.name != "last_used_at"]
            rows = await connection.execute(select(*columns).order_by(*table.primary_key.columns))
            found[table.name] = [tuple(row) for row in rows]
    return found


async def readers(stage: Stage) -> Client:
    """A key of the trader's that may only read."""
    trader = Client(stage.app, dict(stage.trader.http.headers))
    made = await trader.post("/api_keys/me", {"name": "reader", "scopes": "read"})
    return Client(stage.app, {"X-API-Key": made["key"]})


async def status_of(client: Client, case: Case, things: dict[str, int]) -> tuple[int, str]:
    path = case.path
    for name, number in things.items():
        path = path.replace(f"{{{name}}}", str(number))
    answer = await client.http.request(case.method, path, json=filled(case.body, things))
    return answer.status_code, answer.text


def test_the_table_has_every_route(stage: Stage) -> None:
    def shape(method: str, path: str) -> tuple[str, str]:
        words = path.partition("?")[0].removeprefix(PREFIX).split("/")
        return method.upper(), "/".join("*" if word.startswith("{") or word == "1" or "@" in word else word for word in words)

    paths = stage.app.openapi()["paths"]
    documented = {shape(method, path) for path, operations in paths.items() for method in operations}
    assert documented - {shape(case.method, case.path) for case in CASES} == set()


async def test_all_who_may_not_are_refused_and_change_nothing(stage: Stage) -> None:
    things, reader = await things_of(stage), await readers(stage)
    away = await stage.orm.users.add(None, {"mail": "away@fullon", "active": False}, password_hash="x")
    inactive = Client(stage.app, {"Authorization": f"Bearer {stage.signer.sign(uid=away.uid)}"})
    before = await everything(stage.orm)
    wrong: list[str] = []
    for case in CASES:
        for name, client in (("nobody", stage.nobody), ("inactive", inactive), ("other", stage.other), ("reader", reader)):
            if name in ("nobody", "inactive"):
                expected = 401
            elif case.whose == "admin" or (name == "reader" and case.method in CHANGING):
                expected = 403
            elif name == "other" and case.whose == "own":
                expected = 404
            elif case.whose == "self" and case.method in CHANGING:
                continue  # Others may do that about themselves.
            else:
                expected = 200
            status, text = await status_of(client, case, things)
            if status != expected:
                wrong.append(f"{name}: {case.method} {case.path} answered {status}, not {expected}: {text[:200]}")
            if name == "other" and case.whose == "listed" and "trader@fullon" in text:
                wrong.append(f"{name}: {case.method} {case.path} shows the trader")
    assert wrong == []
    assert await everything(stage.orm) == before


async def test_what_is_somebody_elses_answers_as_what_is_not_there(stage: Stage) -> None:
    things = await things_of(stage)
    nothing = dict.fromkeys(things, 987_654)
    for case in CASES:
        if case.whose == "own" and "{" in case.path and case.method == "GET":
            theirs, absent = [await status_of(stage.other, case, numbers) for numbers in (things, nothing)]
            assert theirs[0] == absent[0], case
            assert _words(theirs[1]) == _words(absent[1]), case


def _words(text: str) -> str:
    """The answer without its numbers and without the request's id."""
    return "".join(sign for sign in text.partition('"request_id"')[0] if not sign.isdigit())


async def test_the_owner_and_the_admin_may(stage: Stage) -> None:
    things = await things_of(stage)
    for case in CASES:
        if case.whose == "admin":
            client = stage.admin
        elif "password" in case.path:
            continue  # It ends the trader's session; `test_a_new_password_ends_the_callers_session` has it.
        else:
            client = stage.trader
        status, text = await status_of(client, case, things)
        # The trader has traded: their user stays.
        expected = 409 if case.method == "DELETE" and case.path.startswith("/users/") else 200
        assert status == expected, f"{case.method} {case.path} answered {status}: {text[:300]}"
        if case.path.endswith("toggle-active"):
            assert (await status_of(client, case, things))[0] == 200
            stage.sessions.forget(stage.demo.trader.uid)
