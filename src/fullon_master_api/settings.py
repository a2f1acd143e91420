"""Every setting, read once from the environment and `.env`, and handed down frozen."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import quote

from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from fullon_master_api.model import ServiceName

SECRET_BYTES_MIN: Final = 32
KNOWN_SECRETS: Final = frozenset({"dev-secret-key-change-in-production"})

Words = Annotated[list[str], NoDecode]
"""A list: JSON (`["a", "b"]`) or words between commas (`a,b`)."""


Audience = Literal["everyone", "users", "admins", "nobody"]
"""Whom something is shown to; users are those who are signed in."""


class Settings(BaseSettings):
    """Each field is the environment variable of the same name in capitals. Units end the name, seconds where none is said."""

    model_config = SettingsConfigDict(env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True)

    # The API.
    api_title: str = "Fullon Master API"
    api_version: str = "1.0.0"
    api_prefix: str = "/api/v1"
    api_description: str = "Unified API Gateway for Fullon Trading Platform"

    # The server. Listening beyond loopback is a decision, so it is never the default.
    host: str = Field("127.0.0.1", validation_alias=AliasChoices("HOST", "API_HOST"))
    port: int = Field(8000, ge=0, le=65535, validation_alias=AliasChoices("PORT", "API_PORT"))
    workers: int = Field(1, ge=1, le=64)
    uvloop_enabled: bool = True
    drain_timeout_s: float = Field(5.0, ge=1, le=60)
    data_dir: Path = Path(".fullon")
    trusted_proxies: Words = []
    hsts_max_age_s: int = Field(31_536_000, ge=0)

    # Who may enter.
    jwt_secret_key: SecretStr | None = None
    jwt_algorithm: Literal["HS256", "HS384", "HS512"] = "HS256"
    jwt_expiration_minutes: int = Field(60, ge=1, le=1440)
    jwt_issuer: str = "fullon-master-api"
    jwt_audience: str = "fullon"
    jwt_jwks_url: str | None = None
    jwt_external_issuer: str | None = None
    jwt_external_audience: str | None = None
    refresh_expiration_days: int = Field(14, ge=1, le=365)
    enable_api_key_auth: bool = True
    api_key_header_name: str = "X-API-Key"
    admin_mail: str = "admin@fullon"
    login_attempts_max: int = Field(10, ge=1)
    login_window_s: float = Field(300.0, gt=0)

    # Browsers of other origins: none, until they are named.
    cors_origins: Words = []
    cors_allow_credentials: bool = False
    cors_allow_methods: Words = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    cors_allow_headers: Words = ["Authorization", "Content-Type", "X-API-Key", "X-Request-Id"]

    # Logs.
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["beautiful", "json"] = "beautiful"
    log_console: bool = True
    log_colors: bool = True
    log_file_path: Path | None = None
    log_rotation: str = "100 MB"
    log_retention: str = "7 days"

    # The SQL stores. Without a URL and without DB_NAME both are SQLite files in DATA_DIR.
    database_url: SecretStr | None = None
    ohlcv_database_url: SecretStr | None = None
    db_host: str = "localhost"
    db_port: int = Field(5432, ge=1, le=65535)
    db_user: str = "postgres"
    db_password: SecretStr | None = None
    db_name: str | None = None
    db_ohlcv_name: str | None = None
    db_pool_size: int = Field(20, ge=1, le=200)
    db_pool_max_overflow: int = Field(10, ge=0, le=200)
    db_pool_pre_ping: bool = True
    db_pool_recycle: int = Field(1800, ge=1)
    db_pool_timeout: float = Field(10.0, gt=0)

    # The cache and the bus. Without a URL and without a host both live in this process.
    redis_url: SecretStr | None = None
    redis_host: str | None = Field(None, validation_alias=AliasChoices("REDIS_HOST", "CACHE_HOST"))
    redis_port: int = Field(6379, ge=1, le=65535, validation_alias=AliasChoices("REDIS_PORT", "CACHE_PORT"))
    redis_db: int = Field(0, ge=0, le=15, validation_alias=AliasChoices("REDIS_DB", "CACHE_DB"))
    redis_user: str | None = Field(None, validation_alias=AliasChoices("REDIS_USER", "CACHE_USER"))
    redis_password: SecretStr | None = Field(None, validation_alias=AliasChoices("REDIS_PASSWORD", "CACHE_PASSWORD"))
    redis_max_connections: int = Field(50, ge=1, le=1000)
    redis_socket_timeout: float = Field(
        5.0, gt=0, validation_alias=AliasChoices("REDIS_SOCKET_TIMEOUT", "REDIS_TIMEOUT", "CACHE_TIMEOUT")
    )
    redis_socket_connect_timeout: float = Field(5.0, gt=0)
    cache_key_prefix: str = ""

    # Exchanges.
    ccxt_timeout: float = Field(10.0, gt=0)
    use_sandbox: bool = False
    exchange_urls: dict[str, str] = {}
    """Exchange name to the base URL of a server that speaks its protocol: the paper exchange. `{"kraken": "http://…"}`"""
    credentials_key: SecretStr | None = None
    """Key that encrypts stored exchange credentials: 32 bytes, base64; several between commas, the first one encrypts."""

    # The collecting services.
    service_auto_start_enabled: bool = True
    services_to_auto_start: Words = ["ticker", "ohlcv", "account"]
    lease_ttl_s: float = Field(10.0, gt=0.2, le=120)
    service_wait_s: float = Field(10.0, gt=0, le=60)
    ticker_daemon_exchanges: Words = []
    ticker_reconnect_delay: float = Field(5.0, gt=0)
    ticker_max_retries: int = Field(3, ge=1)
    feed_stalled_s: float = Field(120.0, gt=0)
    service_memory_mb_max: int = Field(0, ge=0)
    ohlcv_collection_interval: float = Field(60.0, gt=0)
    ohlcv_historical_limit: int = Field(1000, ge=1, le=5000)
    ohlcv_trades_days: int | None = Field(None, ge=1)
    ohlcv_minutes_days: int | None = Field(None, ge=1)
    ohlcv_enable_streaming: bool = True
    ohlcv_enable_historical: bool = True
    account_poll_interval: float = Field(60.0, gt=0)
    account_reconnect_delay: float = Field(5.0, gt=0)
    account_max_retries: int = Field(3, ge=1)

    # The health monitor.
    health_monitor_enabled: bool = True
    health_check_interval_seconds: float = Field(300.0, gt=0)
    health_stale_process_threshold_minutes: float = Field(10.0, gt=0)
    health_auto_restart_enabled: bool = True
    health_auto_restart_cooldown_seconds: float = Field(300.0, ge=0)
    health_auto_restart_max_per_hour: int = Field(5, ge=0)
    health_services_to_monitor: Words = ["ticker", "ohlcv", "account"]
    health_enable_process_cache_checks: bool = True
    health_enable_database_checks: bool = True
    health_enable_redis_checks: bool = True

    # Limits of one request, one socket.
    body_bytes_max: int = Field(1_000_000, ge=1_000)
    document_bytes_max: int = Field(50_000, ge=1_000)
    document_tokens_max: int = Field(3_000, ge=100)
    document_directives_max: int = Field(200, ge=1)
    document_depth_max: int = Field(15, ge=2)
    document_cost_max: int = Field(1_000_000, ge=100)
    operation_timeout_s: float = Field(30.0, gt=0)
    requests_per_minute_per_user: int = Field(60_000, ge=0)
    requests_per_minute_per_address: int = Field(60_000, ge=0)
    requests_running_max: int = Field(200, ge=1)
    batch_operations_max: int = Field(0, ge=0, le=50)
    socket_init_timeout_s: float = Field(5.0, gt=0)
    socket_message_bytes_max: int = Field(1_000_000, ge=1_000)
    socket_subscriptions_max: int = Field(200, ge=1)
    socket_connections_max: int = Field(20_000, ge=1)
    socket_connections_per_user_max: int = Field(200, ge=1)
    socket_connections_per_address_max: int = Field(1_000, ge=1)

    # What clients may ask: the schema itself, and documents that nobody knows.
    introspection: Audience = "users"
    graphiql: Audience = "users"
    persisted_queries_max: int = Field(1_000, ge=0, le=100_000)
    persisted_queries_bytes_max: int = Field(5_000_000, ge=1_000)
    trusted_documents_only: bool = False
    federation_enabled: bool = False

    # What is told of the work.
    slow_operation_s: float = Field(1.0, ge=0)

    @field_validator(
        "trusted_proxies",
        "cors_origins",
        "cors_allow_methods",
        "cors_allow_headers",
        "services_to_auto_start",
        "ticker_daemon_exchanges",
        "health_services_to_monitor",
        mode="before",
    )
    @classmethod
    def _words(cls, value: object) -> object:
        """Take `a,b` as well as `["a","b"]`."""
        if not isinstance(value, str):
            return value
        if value.lstrip().startswith("["):
            import json

            return json.loads(value)
        return [word.strip() for word in value.split(",") if word.strip()]

    @field_validator("services_to_auto_start", "health_services_to_monitor")
    @classmethod
    def _known_services(cls, value: list[str]) -> list[str]:
        known = [name.value for name in ServiceName]
        wrong = [name for name in value if name not in known]
        if wrong:
            raise ValueError(f"unknown service {wrong[0]!r}; known are {', '.join(known)}")
        return value

    @model_validator(mode="after")
    def _no_credentials_for_everybody(self) -> Settings:
        if self.cors_allow_credentials and "*" in self.cors_origins:
            raise ValueError("CORS_ORIGINS=* with CORS_ALLOW_CREDENTIALS=true lets any page act as the user: name the origins")
        return self

    @model_validator(mode="after")
    def _external_issuer_is_named(self) -> Settings:
        if self.jwt_jwks_url and not self.jwt_external_issuer:
            raise ValueError("JWT_JWKS_URL needs JWT_EXTERNAL_ISSUER: whose tokens are taken must be said")
        return self

    @property
    def orm_url(self) -> str:
        """SQLAlchemy URL of users, orders and bots."""
        return self._sql_url(self.database_url, self.db_name, "fullon.db")

    @property
    def ohlcv_url(self) -> str:
        """SQLAlchemy URL of candles and market trades."""
        return self._sql_url(self.ohlcv_database_url, self.db_ohlcv_name, "ohlcv.db")

    def _sql_url(self, url: SecretStr | None, name: str | None, file: str) -> str:
        if url:
            return re.sub(r"^(postgres|postgresql)(\+\w+)?://", "postgresql+asyncpg://", url.get_secret_value())
        if name:
            password = f":{quote(self.db_password.get_secret_value(), safe='')}" if self.db_password else ""
            server = f"{quote(self.db_user, safe='')}{password}@{self.db_host}:{self.db_port}"
            return f"postgresql+asyncpg://{server}/{quote(name, safe='')}"
        return f"sqlite+aiosqlite:///{self.data_dir.resolve() / file}"

    @property
    def bus_url(self) -> str:
        """`memory://` in one process, else the URL of Redis."""
        if self.redis_url:
            return self.redis_url.get_secret_value()
        if not self.redis_host:
            return "memory://"
        who = quote(self.redis_user or "", safe="")
        if self.redis_password:
            who += f":{quote(self.redis_password.get_secret_value(), safe='')}"
        return f"redis://{who}{'@' if who else ''}{self.redis_host}:{self.redis_port}/{self.redis_db}"

    @property
    def is_embedded(self) -> bool:
        """Whether one process is all: it serves and collects. With Redis, `fullon worker` processes collect."""
        return self.bus_url.startswith("memory")

    def not_scalable(self) -> str | None:
        """Why several processes cannot serve together; None when they can."""
        if self.is_embedded:
            return "several workers need REDIS_URL: what lives in one process's memory, the others do not see"
        for name, url in (("DATABASE_URL", self.orm_url), ("OHLCV_DATABASE_URL", self.ohlcv_url)):
            if url.startswith("sqlite"):
                return f"several workers need {name} of a PostgreSQL server: a SQLite file has one writer"
        return None

    def exchange_credentials(self, ex_id: int) -> tuple[str, str] | None:
        """(key, secret) of an exchange account from `EX_ID_{n}_KEY` and `EX_ID_{n}_SECRET`; None where they are not set."""
        key, secret = os.environ.get(f"EX_ID_{ex_id}_KEY"), os.environ.get(f"EX_ID_{ex_id}_SECRET")
        return (key, secret) if key and secret else None

    def weak_secret(self) -> str | None:
        """Why this signing secret must not be used for a server that others can reach; None when it is good."""
        if self.jwt_secret_key is None:
            return "JWT_SECRET_KEY is not set"
        secret = self.jwt_secret_key.get_secret_value()
        if secret in KNOWN_SECRETS:
            return "JWT_SECRET_KEY is the published default"
        if len(secret.encode()) < SECRET_BYTES_MIN:
            return f"JWT_SECRET_KEY has {len(secret.encode())} bytes, at least {SECRET_BYTES_MIN} are needed"
        return None
