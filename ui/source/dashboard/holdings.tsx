// What the caller's accounts hold: balances, positions, and what they gained.
import { useEffect, useState } from "react";
import type { Account, Desk } from "./desk";
import { type WatchAccountSubscription, WatchAccount } from "./generated";
import { DASH, signOf, trimmed } from "./numbers";
import { Panel, Problem } from "./panel";

type Balances = NonNullable<WatchAccountSubscription["account"]["balances"]>;
type Positions = NonNullable<WatchAccountSubscription["account"]["positions"]>;

function Holdings({ desk, account }: { desk: Desk; account: Account }) {
  const [balances, setBalances] = useState<Balances | null>(null);
  const [positions, setPositions] = useState<Positions | null>(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    const variables: { account: string; after: string | null } = { account: account.id, after: null };
    return desk.server.watch(
      WatchAccount,
      variables,
      ({ account: event }) => {
        variables.after = event.cursor;
        if (event.balances) setBalances(event.balances);
        if (event.positions) setPositions(event.positions);
      },
      setProblem,
    );
  }, [desk, account]);
  const held = positions?.filter((position) => signOf(position.quantity)) ?? [];
  return (
    <div data-account={account.name}>
      <h3>
        {account.name} at {account.exchange?.name ?? DASH}
      </h3>
      <Problem text={problem} />
      {balances !== null && balances.length > 0 && (
        <table>
          <thead>
            <tr>
              <th scope="col">Balance</th>
              <th scope="col">Free</th>
              <th scope="col">In orders</th>
              <th scope="col">Total</th>
            </tr>
          </thead>
          <tbody>
            {balances.map((balance) => (
              <tr key={balance.currency} data-currency={balance.currency}>
                <th scope="row">{balance.currency}</th>
                <td>{trimmed(balance.free)}</td>
                <td>{trimmed(balance.used)}</td>
                <td>{trimmed(balance.total)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {balances === null && <p className="empty">Waiting for the account service.</p>}
      {balances?.length === 0 && <p className="empty">No balances.</p>}
      {held.length > 0 && (
        <table>
          <thead>
            <tr>
              <th scope="col">Position</th>
              <th scope="col">Quantity</th>
              <th scope="col">Entry</th>
              <th scope="col">PnL</th>
              <th scope="col">Realized</th>
            </tr>
          </thead>
          <tbody>
            {held.map((position) => (
              <tr key={position.symbolName} data-position={position.symbolName}>
                <th scope="row">{position.symbolName}</th>
                <td>{trimmed(position.quantity)}</td>
                <td>{trimmed(position.price)}</td>
                <td className={signOf(position.unrealizedPnl)}>{position.unrealizedPnl ? trimmed(position.unrealizedPnl) : DASH}</td>
                <td className={signOf(position.realizedPnl)}>{trimmed(position.realizedPnl)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {positions !== null && held.length === 0 && <p className="empty">No open positions.</p>}
    </div>
  );
}

export function Accounts({ desk }: { desk: Desk }) {
  return (
    <Panel title="Balances and positions" name="holdings">
      {desk.accounts.map((account) => (
        <Holdings key={account.id} desk={desk} account={account} />
      ))}
      {desk.accounts.length === 0 && <p className="empty">You have no exchange account.</p>}
    </Panel>
  );
}

export function Bots({ desk }: { desk: Desk }) {
  return (
    <Panel title="Bots" name="bots">
      {desk.me.bots.nodes.map((bot) => (
        <div key={bot.id} data-bot={bot.name}>
          <h3>
            {bot.name} <span className="badge">{bot.active ? "active" : "off"}</span> {bot.dryRun && <span className="badge">dry run</span>}
          </h3>
          <ul>
            {bot.strategies.map((strategy) => (
              <li key={strategy.id}>
                {strategy.template?.name ?? strategy.name ?? DASH}: leverage {trimmed(strategy.leverage)}
                {strategy.takeProfit && `, take profit ${trimmed(strategy.takeProfit)} %`}
                {strategy.stopLoss && `, stop loss ${trimmed(strategy.stopLoss)} %`}
                {strategy.feeds.length > 0 &&
                  `, reads ${strategy.feeds.map((feed) => `${feed.symbol?.symbol ?? DASH} ${feed.compression} ${feed.period.toLowerCase()}`).join(", ")}`}
              </li>
            ))}
          </ul>
        </div>
      ))}
      {desk.me.bots.nodes.length === 0 && <p className="empty">No bots yet.</p>}
    </Panel>
  );
}
