"""`fullon import` and `fullon export`: market data from and to CSV, Parquet and Arrow files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fullon_master_api.apis.ohlcv import Fill, open_ohlcv
from fullon_master_api.errors import BadUserInput, GatewayError
from fullon_master_api.model import Side, Timeframe

if TYPE_CHECKING:  # What takes long to import is imported by the command that needs it: help and TAB do not wait for it.
    from rich.progress import Progress

    from fullon_master_api.apis.ohlcv.importing import ImportReport

REFUSALS_SHOWN: Final = 20

Frame = Annotated[str | None, typer.Option(help="Candles of 1m, 1h or 1d; trades where it is not given.")]


def import_command(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="CSV (also .gz), Parquet or Arrow file.")],
    exchange: Annotated[str, typer.Option(help="Name of the exchange, or a column in braces.")] = "{exchange}",
    symbol: Annotated[str, typer.Option(help="Unified name, or columns in braces as '{base}/{quote}'.")] = "{symbol}",
    timeframe: Frame = None,
    side: Annotated[Side | None, typer.Option(help="The taker's side, for a file that has none.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and check everything, store nothing.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Begin anew instead of where an earlier run stopped.")] = False,
) -> None:
    """Import trades or candles. What is stored already is a repeat, so running it twice changes nothing."""
    finish(_import(file, exchange, symbol, timeframe, side, dry_run=dry_run, restart=restart))


async def _import(
    file: Path, exchange: str, symbol: str, timeframe: str | None, side: Side | None, *, dry_run: bool, restart: bool
) -> None:
    from fullon_master_api.apis.ohlcv.importing import ImportPlan, import_file
    from fullon_master_api.settings import Settings

    plan = ImportPlan(exchange=exchange, symbol=symbol, timeframe=frame_of(timeframe), side=side)
    settings = Settings()
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with open_ohlcv(settings.ohlcv_url) as store:
        with shown(f"importing {file.name}") as bar:
            report = await import_file(store, file, plan, dry_run=dry_run, restart=restart, progress=told_to(bar))
    tell(report, dry_run=dry_run)


def tell(report: ImportReport, *, dry_run: bool) -> None:
    """Rows read, stored, repeated and refused, with the lines that were refused."""
    if report.resumed_at:
        typer.echo(f"went on after {report.resumed_at} rows that an earlier run had done")
    word = "good" if dry_run else "stored"
    typer.echo(f"read {report.read}, {word} {report.stored}, repeated {report.repeated}, refused {report.refused}")
    for refusal in report.refusals[:REFUSALS_SHOWN]:
        typer.echo(f"  line {refusal.line}: {refusal.reason}")
    if report.refused > REFUSALS_SHOWN:
        typer.echo(f"  and {report.refused - REFUSALS_SHOWN} more")
    typer.echo("of " + ", ".join(f"{exchange} {symbol}" for exchange, symbol in report.series))


def export_command(
    exchange: Annotated[str, typer.Argument(help="Name of the exchange, as kraken.")],
    symbol: Annotated[str, typer.Argument(help="Unified name, as BTC/USD.")],
    file: Annotated[Path, typer.Argument(help="File to write: .csv, .csv.gz, .parquet or .arrow.")],
    timeframe: Annotated[str | None, typer.Option(help="Candles of this timeframe, as 1h; trades where it is not given.")] = None,
    start: Annotated[datetime | None, typer.Option(help="Begin of the range, UTC, contained in it.")] = None,
    end: Annotated[datetime | None, typer.Option(help="End of the range, UTC, not contained in it.")] = None,
    fill: Annotated[Fill, typer.Option(help="What stands in for spans without trades.")] = Fill.NONE,
    zone: Annotated[str, typer.Option(help="IANA time zone of day, week and month boundaries.")] = "UTC",
    restart: Annotated[bool, typer.Option("--restart", help="Begin anew instead of where an earlier run stopped.")] = False,
) -> None:
    """Export trades or candles, exactly; `fullon import` reads the file back. After an interruption the same command goes on."""
    finish(_export(exchange, symbol, file, timeframe, start, end, fill, zone, restart=restart))


async def _export(
    exchange: str,
    symbol: str,
    file: Path,
    timeframe: str | None,
    start: datetime | None,
    end: datetime | None,
    fill: Fill,
    zone: str,
    *,
    restart: bool,
) -> None:
    from fullon_master_api.apis.ohlcv.exporting import ExportPlan, export_file
    from fullon_master_api.resolvers.markets import to_ns
    from fullon_master_api.settings import Settings

    plan = ExportPlan(
        key=(exchange, symbol),
        timeframe=frame_of(timeframe),
        start_ns=to_ns(in_utc(start)) or 0,
        end_ns=to_ns(in_utc(end)),
        fill=fill,
        zone=zone,
    )
    async with open_ohlcv(Settings().ohlcv_url) as store:
        with shown(f"exporting {file.name}") as bar:
            report = await export_file(store, file, plan, restart=restart, progress=told_to(bar))
    if report.resumed_at:
        typer.echo(f"went on after {report.resumed_at} rows that an earlier run had written")
    typer.echo(f"wrote {report.rows} rows to {file}")


def frame_of(text: str | None) -> Timeframe | None:
    """Raises BadUserInput for a spelling that no timeframe has."""
    if text is None:
        return None
    try:
        return Timeframe(text)
    except ValueError:
        known = ", ".join(frame.value for frame in Timeframe)
        raise BadUserInput(f"timeframe was {text!r}, must be one of {known}") from None


def in_utc(instant: datetime | None) -> datetime | None:
    """The command line has no zones: what is typed there is UTC."""
    return None if instant is None else instant.replace(tzinfo=UTC)


def shown(what: str) -> Progress:
    """A progress bar on standard error, where it disturbs nobody who reads the output."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn(what), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[rows]:,} rows"), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True))


def told_to(bar: Progress) -> Callable[[int, float], None]:
    """What moves the bar: called with the rows that are done, and with which part of all that is."""
    task = bar.add_task("rows", total=1.0, rows=0)
    return lambda rows, part: bar.update(task, completed=part, rows=rows)


def finish(work: Coroutine[Any, Any, None]) -> None:
    """Do it; a refusal ends the command with 1 and its words."""
    try:
        asyncio.run(work)
    except GatewayError as error:
        raise SystemExit(f"error: {error}") from None
