"""The original's ORM routes, to be mounted under `/api/v1/orm`."""

from __future__ import annotations

from fastapi import APIRouter

from fullon_master_api.rest.orm import api_keys, bots, exchanges, orders, strategies, symbols, trades, users, views


def get_all_routers() -> list[APIRouter]:
    """The nine routers, one for each noun."""
    nouns = (users, bots, exchanges, orders, trades, symbols, strategies, views, api_keys)
    return [noun.router for noun in nouns]
