"""The original's ORM routes, to be mounted under `/api/v1/orm`."""

from __future__ import annotations

from fastapi import APIRouter

from fullon_master_api.rest.orm import users


def get_all_routers() -> list[APIRouter]:
    """The routers of every noun."""
    return [users.router]
