"""`fullon services`: the collecting services as an admin sees and controls them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fullon_master_api.model import ServiceName
from fullon_master_api.terminal.server import (
    LOCAL,
    ApiKey,
    Door,
    Mail,
    Password,
    Token,
    Url,
    door_of,
    finish,
    open_server,
    refusal,
)

FIELDS: Final = """
  name desired state owner heartbeatAt startedAt restarts lastError
  feeds { feed messages lastMessageAt lagMs reconnects gaps error }
"""
LIST: Final = f"{{ services {{ {FIELDS} }} }}"
CHANGE: Final = (
    "mutation($input: ServiceInput!) { %sService(input: $input) { service { " + FIELDS + " } userErrors { code message } } }"
)
COLOURS: Final = {"RUNNING": "green", "STOPPED": "dim", "FAILED": "red", "CRASH_LOOP": "red"}


class Action(StrEnum):
    """What an admin may do."""

    LIST = "list"
    START = "start"
    STOP = "stop"
    RESTART = "restart"


def services_command(
    action: Annotated[Action, typer.Argument(help="What to do.")] = Action.LIST,
    name: Annotated[ServiceName | None, typer.Argument(help="Which service; needed for all but list.")] = None,
    url: Url = LOCAL,
    token: Token = None,
    api_key: ApiKey = None,
    mail: Mail = None,
    password: Password = None,
    as_json: Annotated[bool, typer.Option("--json", help="The services as JSON.")] = False,
) -> None:
    """List, start, stop and restart the collecting services of a running server. For admins."""
    if action is not Action.LIST and name is None:
        raise typer.BadParameter(f"{action} needs the name of a service: one of {', '.join(ServiceName)}", param_hint="name")
    finish(control(door_of(url, token, api_key, mail, password), action, name, as_json=as_json))


async def control(door: Door, action: Action, name: ServiceName | None, *, as_json: bool) -> None:
    """Do it, and print the services as they are then. Raises Refusal, also for what a payload says was wrong."""
    async with open_server(door) as server:
        if name is None or action is Action.LIST:
            found = (await server.ask(LIST))["services"]
            services = [service for service in found if name is None or service["name"] == name.name]
        else:
            payload = (await server.ask(CHANGE % action, input={"name": name.name}))[f"{action}Service"]
            if payload["userErrors"]:
                raise refusal(payload["userErrors"])
            services = [payload["service"]]
    if as_json:
        typer.echo(json.dumps(services, indent=2))
    else:
        Console().print(table_of(services))


def table_of(services: list[dict[str, Any]]) -> Table:
    table = Table()
    for heading in ("service", "state", "wanted", "heartbeat", "restarts", "feeds", "trouble"):
        table.add_column(heading)
    for service in services:
        feeds = service["feeds"]
        troubles = [f"{feed['feed']}: {feed['error']}" for feed in feeds if feed["error"]]
        if service["lastError"] and service["state"] != "RUNNING":
            troubles.insert(0, service["lastError"])
        table.add_row(
            service["name"].lower(),
            Text(service["state"], style=COLOURS.get(service["state"], "yellow")),
            service["desired"],
            age_of(service["heartbeatAt"]),
            str(service["restarts"]),
            str(len(feeds)),
            Text("\n".join(troubles), style="red"),
        )
    return table


def age_of(instant: str | None) -> str:
    """How long ago an RFC 3339 instant was, in seconds."""
    if instant is None:
        return "-"
    return f"{(datetime.now(UTC) - datetime.fromisoformat(instant)).total_seconds():.0f} s ago"
