// What the signed-in person works with: their symbols, accounts and orders, kept up to date by streams.
import type { Server } from "./client";
import {
  type DeskQuery,
  type OrderCellsFragment,
  RecentOrders,
  type TickerCellsFragment,
  Tickers,
  WatchOrders,
} from "./generated";
import { Store } from "./store";

export type Market = NonNullable<DeskQuery["symbols"]>["nodes"][number];
export type Account = NonNullable<DeskQuery["me"]>["exchangeAccounts"][number];
export type Order = OrderCellsFragment;

export const OPEN = ["NEW", "PENDING", "OPEN", "PARTIALLY_FILLED"];
const ORDERS_MAX = 200;

export const keyOf = (market: Market) => `${market.exchange.name} ${market.symbol}`;

export class Desk {
  readonly markets: readonly Market[];
  readonly accounts: readonly Account[];
  readonly selected: Store<Market | null>;
  readonly orders = new Store<readonly Order[]>([]);
  readonly notice = new Store("");
  #tickers = new Map<string, Store<TickerCellsFragment | null>>();

  constructor(
    readonly server: Server,
    readonly me: NonNullable<DeskQuery["me"]>,
    symbols: DeskQuery["symbols"],
  ) {
    this.markets = symbols?.nodes ?? [];
    this.accounts = me.exchangeAccounts;
    this.selected = new Store<Market | null>(this.markets[0] ?? null);
    for (const market of this.markets) this.#tickers.set(keyOf(market), new Store(market.ticker ?? null));
  }

  ticker(market: Market): Store<TickerCellsFragment | null> {
    const store = this.#tickers.get(keyOf(market));
    if (!store) throw new Error(`no market ${keyOf(market)}`);
    return store;
  }

  keep(order: Order): void {
    const others = this.orders.value.filter((known) => known.id !== order.id);
    const known = this.orders.value.find((one) => one.id === order.id);
    if (known && known.updatedAt > order.updatedAt) return;
    const all = [order, ...others].sort((a, b) => b.createdAt.localeCompare(a.createdAt));
    this.orders.set(all.slice(0, ORDERS_MAX));
  }

  // Opens the streams; the returned function closes them.
  open(): () => void {
    const ends: (() => void)[] = [];
    for (const exchange of new Set(this.markets.map((market) => market.exchange.name))) {
      const symbols = this.markets.filter((market) => market.exchange.name === exchange).map((market) => market.symbol);
      const take = (name: string, cells: TickerCellsFragment) => this.#tickers.get(`${exchange} ${name}`)?.set(cells);
      ends.push(
        this.server.watch(Tickers, { exchange, symbols }, ({ tickers }) => {
          for (const ticker of tickers.tickers) if (ticker.symbol) take(ticker.symbol.symbol, ticker);
        }),
      );
    }
    const variables: { after: string | null } = { after: null };
    ends.push(
      this.server.watch(WatchOrders, variables, ({ orders }) => {
        variables.after = orders.cursor;
        this.keep(orders.order);
      }),
    );
    this.server
      .ask(RecentOrders, {})
      .then(({ orders }) => orders?.nodes.forEach((order) => this.keep(order)))
      .catch((error: Error) => this.notice.set(`Orders could not be read: ${error.message}`));
    return () => ends.forEach((end) => end());
  }
}
