// The candle chart of the chosen symbol: stored bars, the live one, and own orders and fills on it.
import type { IPriceLine, ISeriesApi, SeriesMarker, Time, UTCTimestamp } from "lightweight-charts";
import { useEffect, useRef, useState } from "react";
import { type Desk, keyOf, type Market, OPEN, type Order } from "./desk";
import { Bars, LiveBar, type Timeframe } from "./generated";
import { Panel, Problem } from "./panel";
import { useStore } from "./store";
import type { Theme } from "./theme";

const TIMEFRAMES: readonly (readonly [Timeframe, string])[] = [
  ["MINUTE_1", "1m"],
  ["MINUTE_5", "5m"],
  ["MINUTE_15", "15m"],
  ["HOUR_1", "1h"],
  ["HOUR_4", "4h"],
  ["DAY_1", "1d"],
];
const SPAN_S: Record<string, number> = { MINUTE_1: 60, MINUTE_5: 300, MINUTE_15: 900, HOUR_1: 3_600, HOUR_4: 14_400, DAY_1: 86_400 };

type Charts = typeof import("lightweight-charts");
type Candles = ISeriesApi<"Candlestick">;

const colour = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const toTime = (iso: string) => Math.floor(Date.parse(iso) / 1000) as UTCTimestamp;

function markFills(orders: readonly Order[], symbol: string, span: number): SeriesMarker<Time>[] {
  return orders
    .filter((order) => order.symbolName === symbol && order.status === "FILLED")
    .map((order) => ({
      time: (Math.floor(toTime(order.updatedAt) / span) * span) as UTCTimestamp,
      position: order.side === "BUY" ? ("belowBar" as const) : ("aboveBar" as const),
      shape: order.side === "BUY" ? ("arrowUp" as const) : ("arrowDown" as const),
      color: colour(order.side === "BUY" ? "--up" : "--down"),
      text: `${order.side === "BUY" ? "B" : "S"} ${order.quantity}`,
    }))
    .sort((a, b) => Number(a.time) - Number(b.time));
}

// One chart for its whole life: another market or theme is another canvas.
function Canvas({ charts, desk, market, timeframe }: { charts: Charts; desk: Desk; market: Market; timeframe: Timeframe }) {
  const box = useRef<HTMLDivElement>(null);
  const [series, setSeries] = useState<Candles | null>(null);
  const [problem, setProblem] = useState("");
  const [bars, setBars] = useState(0);
  const [marks, setMarks] = useState(0);
  const [waiting, setWaiting] = useState(0);
  const orders = useStore(desk.orders);

  useEffect(() => {
    if (!series) return;
    let over = false;
    let stop = () => {};
    const names = { exchange: market.exchange.name, symbol: market.symbol, timeframe };
    setProblem("");
    desk.server
      .ask(Bars, names)
      .then(({ symbol }) => {
        if (over) return;
        const columns = symbol?.candleColumns;
        const data = (columns?.openedAt ?? []).map((ms, i) => ({
          time: (ms / 1000) as UTCTimestamp,
          open: columns?.open[i] ?? 0, high: columns?.high[i] ?? 0, low: columns?.low[i] ?? 0, close: columns?.close[i] ?? 0,
        }));
        series.setData(data);
        setBars(data.length);
        let newest = data.at(-1)?.time ?? 0;
        stop = desk.server.watch(LiveBar, names, ({ candle }) => {
          const time = toTime(candle.openedAt);
          if (time < newest) return; // The stored bars already hold what came after it.
          if (time > newest) setBars((count) => count + 1);
          newest = time;
          if (box.current) box.current.dataset.close = candle.close; // Not by a state: nothing else is drawn anew for it.
          series.update({ time, open: +candle.open, high: +candle.high, low: +candle.low, close: +candle.close });
        }, setProblem);
      })
      .catch((error: Error) => !over && setProblem(`Candles could not be read: ${error.message}`));
    return () => {
      over = true;
      stop();
    };
  }, [desk, series, market, timeframe]);

  useEffect(() => {
    if (!series) return;
    const fills = markFills(orders, market.symbol, SPAN_S[timeframe] ?? 60);
    const markers = charts.createSeriesMarkers(series, fills);
    setMarks(fills.length);
    const open = orders.filter((order) => order.symbolName === market.symbol && order.price && OPEN.includes(order.status));
    setWaiting(open.length);
    const lines: IPriceLine[] = open.map((order) =>
      series.createPriceLine({
        price: Number(order.price),
        color: colour(order.side === "BUY" ? "--up" : "--down"),
        lineStyle: 2,
        title: `${order.side.toLowerCase()} ${order.quantity}`,
      }),
    );
    return () => {
      markers.detach();
      for (const line of lines) series.removePriceLine(line);
    };
  }, [charts, series, orders, market, timeframe, bars]);

  // The last effect, as they are undone in this order: a series may not be touched once its chart is gone.
  useEffect(() => {
    if (!box.current) return;
    const chart = charts.createChart(box.current, {
      autoSize: true,
      layout: { background: { color: colour("--surface") }, textColor: colour("--text"), fontFamily: "inherit" },
      grid: { vertLines: { color: colour("--line") }, horzLines: { color: colour("--line") } },
      localization: { timeFormatter: (time: number) => `${new Date(time * 1000).toISOString().slice(0, 16).replace("T", " ")} UTC` },
      timeScale: { timeVisible: true, rightOffset: 6, borderColor: colour("--line") },
      rightPriceScale: { borderColor: colour("--line") },
    });
    const [up, down] = [colour("--up"), colour("--down")];
    setSeries(
      chart.addSeries(charts.CandlestickSeries, {
        upColor: up, downColor: down, wickUpColor: up, wickDownColor: down, borderVisible: false,
        priceFormat: { type: "price", precision: market.priceDecimals, minMove: 10 ** -market.priceDecimals },
      }),
    );
    return () => chart.remove();
  }, [charts, market]);

  return (
    <>
      <Problem text={problem} />
      <div
        ref={box}
        className="canvas"
        role="group"
        aria-label={`Candles of ${market.symbol}, ${bars} bars, ${marks} own orders marked as filled, ${waiting} open`}
        data-bars={bars}
        data-marks={marks}
        data-waiting={waiting}
      />
    </>
  );
}

export function Chart({ desk, theme }: { desk: Desk; theme: Theme }) {
  const market = useStore(desk.selected);
  const [timeframe, setTimeframe] = useState<Timeframe>("MINUTE_1");
  const [charts, setCharts] = useState<Charts | null>(null);
  const [problem, setProblem] = useState("");

  // The library is half of all the code: it comes when the rest is on the screen already.
  useEffect(() => {
    import("lightweight-charts").then(setCharts, (error: Error) => setProblem(`The chart could not be loaded: ${error.message}`));
  }, []);

  const choice = (
    <div className="choice" role="group" aria-label="Timeframe, times in UTC">
      {TIMEFRAMES.map(([value, label]) => (
        <button key={value} type="button" aria-pressed={value === timeframe} onClick={() => setTimeframe(value)}>
          {label}
        </button>
      ))}
    </div>
  );
  return (
    <Panel title={market ? `${market.symbol} on ${market.exchange.name}` : "Chart"} name="chart" extra={choice}>
      <Problem text={problem} />
      {market && charts && <Canvas key={`${keyOf(market)} ${theme}`} {...{ charts, desk, market, timeframe }} />}
      {!market && <p className="empty">No symbol chosen.</p>}
    </Panel>
  );
}
