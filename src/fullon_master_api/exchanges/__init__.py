"""Exchanges behind one adapter: any of ccxt, or the paper exchange."""

from __future__ import annotations

from fullon_master_api.exchanges.adapter import ExchangeAdapter


def open_exchange(
    name: str,
    *,
    base_url: str | None = None,
    credentials: tuple[str, str] | None = None,
    timeout_s: float = 10.0,
    stall_s: float = 120.0,
    sandbox: bool = False,
) -> ExchangeAdapter:
    """A connection to an exchange, not yet opened: nothing is sent before the first call; end it with `aclose()`.

    `base_url` sends everything there instead, as to a paper exchange. `credentials` are (key, secret) of an account.
    `timeout_s` limits each call and the first answer of each stream; a stream that is quiet for `stall_s` counts as dead.

    Raises: ExchangeRefused for an exchange that we cannot speak to.
    """
    from fullon_master_api.exchanges.opening import open_adapter  # ccxt takes half a second to import.

    return open_adapter(name, base_url=base_url, credentials=credentials, timeout_s=timeout_s, stall_s=stall_s, sandbox=sandbox)
