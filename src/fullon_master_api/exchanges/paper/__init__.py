"""A local exchange that speaks Kraken's wire protocol, for demo, paper trading and tests."""

from fullon_master_api.exchanges.paper.faults import Faults
from fullon_master_api.exchanges.paper.generator import GeneratedSource
from fullon_master_api.exchanges.paper.recording import RecordedSource
from fullon_master_api.exchanges.paper.server import PaperExchange, PaperOptions, open_paper

__all__ = ["Faults", "GeneratedSource", "PaperExchange", "PaperOptions", "RecordedSource", "open_paper"]
