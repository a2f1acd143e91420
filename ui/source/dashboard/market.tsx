// Market watch: every symbol with its latest ticker; the arrow keys choose the one that the other panels show.
import { type KeyboardEvent, memo } from "react";
import { type Desk, keyOf, type Market } from "./desk";
import { ageSeconds, ageText, DASH, difference } from "./numbers";
import { Panel } from "./panel";
import { clock, useSelected, useStore } from "./store";

const STALE_S = 10;

function Age({ then }: { then: string | undefined }) {
  const text = useSelected(clock, (now) => {
    const seconds = ageSeconds(then, now);
    return seconds === null ? DASH : seconds >= STALE_S ? `stale ${ageText(seconds)}` : ageText(seconds);
  });
  const stale = text.startsWith("stale");
  return (
    <td role="cell" className={stale ? "age stale" : "age"} data-stale={stale}>
      {text}
    </td>
  );
}

const Row = memo(function Row({ desk, market, chosen }: { desk: Desk; market: Market; chosen: boolean }) {
  const ticker = useStore(desk.ticker(market));
  const percentage = ticker?.percentage ?? null;
  const trend = percentage === null || percentage === 0 ? "" : percentage > 0 ? "up" : "down";
  return (
    <tr role="row" className={chosen ? "chosen" : ""} data-symbol={market.symbol}>
      <th role="rowheader" scope="row">
        <button type="button" aria-pressed={chosen} onClick={() => desk.selected.set(market)}>
          {market.symbol}
        </button>
      </th>
      <td role="cell" data-cell="last">{ticker?.last ?? DASH}</td>
      <td role="cell" className={trend}>{percentage === null ? DASH : `${percentage > 0 ? "+" : ""}${percentage.toFixed(2)} %`}</td>
      <td role="cell" className="wide">{ticker?.bid ?? DASH}</td>
      <td role="cell" className="wide">{ticker?.ask ?? DASH}</td>
      <td role="cell">{ticker?.bid && ticker.ask ? difference(ticker.ask, ticker.bid) : DASH}</td>
      <Age then={ticker?.updatedAt} />
    </tr>
  );
});

export function MarketWatch({ desk }: { desk: Desk }) {
  const selected = useStore(desk.selected);
  const move = (event: KeyboardEvent<HTMLTableSectionElement>) => {
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    const buttons = [...event.currentTarget.querySelectorAll("button")];
    const at = buttons.indexOf(document.activeElement as HTMLButtonElement);
    const next = buttons[at + step];
    if (step === 0 || at < 0 || !next) return;
    event.preventDefault();
    next.focus();
    next.click();
  };
  // The roles are what the elements are anyway; a browser forgets it where the style sheet lays rows out as grids.
  return (
    <Panel title="Market watch" name="market">
      <table role="table">
        <thead role="rowgroup">
          <tr role="row">
            <th role="columnheader" scope="col">Symbol</th>
            <th role="columnheader" scope="col">Last</th>
            <th role="columnheader" scope="col">24 h</th>
            <th role="columnheader" scope="col" className="wide">
              Bid
            </th>
            <th role="columnheader" scope="col" className="wide">
              Ask
            </th>
            <th role="columnheader" scope="col">Spread</th>
            <th role="columnheader" scope="col">Age</th>
          </tr>
        </thead>
        <tbody role="rowgroup" onKeyDown={move}>
          {desk.markets.map((market) => (
            <Row key={keyOf(market)} desk={desk} market={market} chosen={market === selected} />
          ))}
        </tbody>
      </table>
      {desk.markets.length === 0 && <p className="empty">No active symbols.</p>}
    </Panel>
  );
}
