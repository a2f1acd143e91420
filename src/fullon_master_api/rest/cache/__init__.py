"""The cache's WebSocket endpoints, as an application to mount at `/api/v1/cache`."""

from fullon_master_api.rest.cache.app import create_app
from fullon_master_api.rest.cache.desk import Desk

__all__ = ["Desk", "create_app"]
