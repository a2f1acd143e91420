// Market watch: every symbol with its latest ticker; the arrow keys choose the one that the other panels show.
import { type KeyboardEvent, memo } from "react";
import { type Desk, keyOf, type Market } from "./desk";
import { ageSeconds, ageText, DASH, difference } from "./numbers";
import { Panel } from "./panel";
import { clock, useStore } from "./store";

const STALE_S = 10;

function Age({ then }: { then: string | undefined }) {
  const seconds = ageSeconds(then, useStore(clock));
  if (seconds === null) return <td className="age">{DASH}</td>;
  const stale = seconds >= STALE_S;
  return (
    <td className={stale ? "age stale" : "age"} data-stale={stale}>
      {stale ? `stale, ${ageText(seconds)}` : ageText(seconds)}
    </td>
  );
}

const Row = memo(function Row({ desk, market, chosen }: { desk: Desk; market: Market; chosen: boolean }) {
  const ticker = useStore(desk.ticker(market));
  const percentage = ticker?.percentage ?? null;
  const trend = percentage === null || percentage === 0 ? "" : percentage > 0 ? "up" : "down";
  return (
    <tr className={chosen ? "chosen" : ""} data-symbol={market.symbol}>
      <th scope="row">
        <button type="button" aria-pressed={chosen} onClick={() => desk.selected.set(market)}>
          {market.symbol}
        </button>
      </th>
      <td data-cell="last">{ticker?.last ?? DASH}</td>
      <td className={trend}>{percentage === null ? DASH : `${percentage > 0 ? "+" : ""}${percentage.toFixed(2)} %`}</td>
      <td className="wide">{ticker?.bid ?? DASH}</td>
      <td className="wide">{ticker?.ask ?? DASH}</td>
      <td>{ticker?.bid && ticker.ask ? difference(ticker.ask, ticker.bid) : DASH}</td>
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
  return (
    <Panel title="Market watch" name="market">
      <table>
        <thead>
          <tr>
            <th scope="col">Symbol</th>
            <th scope="col">Last</th>
            <th scope="col">24 h</th>
            <th scope="col" className="wide">
              Bid
            </th>
            <th scope="col" className="wide">
              Ask
            </th>
            <th scope="col">Spread</th>
            <th scope="col">Age</th>
          </tr>
        </thead>
        <tbody onKeyDown={move}>
          {desk.markets.map((market) => (
            <Row key={keyOf(market)} desk={desk} market={market} chosen={market === selected} />
          ))}
        </tbody>
      </table>
      {desk.markets.length === 0 && <p className="empty">No active symbols.</p>}
    </Panel>
  );
}
