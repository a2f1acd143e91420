// The order ticket (dry run only) and the caller's orders.
import { type FormEvent, useState } from "react";
import { type Desk, OPEN, type Order } from "./desk";
import { CancelOrder, type OrderType, PlaceOrder, type Side } from "./generated";
import { DASH, timeText, trimmed } from "./numbers";
import { Panel, Problem } from "./panel";
import { useStore } from "./store";

export function Ticket({ desk }: { desk: Desk }) {
  const market = useStore(desk.selected);
  const [type, setType] = useState<OrderType>("MARKET");
  const [problem, setProblem] = useState("");
  const [done, setDone] = useState("");
  const [key, setKey] = useState(() => crypto.randomUUID());
  const accounts = desk.accounts.filter((account) => account.exchange?.name === market?.exchange.name);

  const place = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const button = (event.nativeEvent as SubmitEvent).submitter as HTMLButtonElement;
    const form = new FormData(event.currentTarget);
    const text = (name: string) => String(form.get(name) ?? "").trim();
    setProblem("");
    setDone("");
    if (!market) return;
    try {
      const { placeOrder } = await desk.server.ask(PlaceOrder, {
        input: {
          exchangeAccountId: text("account"), symbol: market.symbol, side: button.value as Side, type,
          quantity: text("quantity"), price: type === "LIMIT" ? text("price") : null, dryRun: true, clientOrderId: key,
        },
      });
      const refusal = placeOrder.userErrors[0];
      if (refusal || !placeOrder.order) return setProblem(refusal?.message ?? "the order was not placed");
      desk.keep(placeOrder.order);
      setDone(`${placeOrder.order.side.toLowerCase()} ${placeOrder.order.quantity} ${market.base} placed`);
      setKey(crypto.randomUUID()); // Kept until an answer came, so that a repeated click places the order once.
    } catch (error) {
      setProblem((error as Error).message);
    }
  };

  return (
    <Panel title="Order ticket" name="ticket" extra={<span className="badge">dry run</span>}>
      {market && accounts.length > 0 ? (
        <form onSubmit={place}>
          <label>
            Account
            <select name="account">
              {accounts.map((account) => (
                <option key={account.id} value={account.id}>
                  {account.name}
                </option>
              ))}
            </select>
          </label>
          <label>
            Type
            <select name="type" value={type} onChange={(event) => setType(event.target.value as OrderType)}>
              <option value="MARKET">market</option>
              <option value="LIMIT">limit</option>
            </select>
          </label>
          <label>
            Quantity, {market.base}
            <input name="quantity" inputMode="decimal" pattern="\d+(\.\d+)?" defaultValue="0.01" required />
          </label>
          {type === "LIMIT" && (
            <label>
              Price, {market.quote}
              <input name="price" inputMode="decimal" pattern="\d+(\.\d+)?" defaultValue={desk.ticker(market).value?.last ?? ""} required />
            </label>
          )}
          <div className="sides">
            <button type="submit" value="BUY" className="buy">
              Buy {market.base}
            </button>
            <button type="submit" value="SELL" className="sell">
              Sell {market.base}
            </button>
          </div>
          <Problem text={problem} />
          <p className="done" role="status">
            {done}
          </p>
        </form>
      ) : (
        <p className="empty">You have no account at this exchange.</p>
      )}
    </Panel>
  );
}

function OrderRow({ desk, order, refuse }: { desk: Desk; order: Order; refuse: (text: string) => void }) {
  const cancel = async () => {
    try {
      const { cancelOrder } = await desk.server.ask(CancelOrder, { input: { id: order.id } });
      if (cancelOrder.order) desk.keep(cancelOrder.order);
      refuse(cancelOrder.userErrors[0]?.message ?? "");
    } catch (error) {
      refuse((error as Error).message);
    }
  };
  return (
    <tr data-order={order.id} data-status={order.status}>
      <th scope="row">{order.symbolName}</th>
      <td className={order.side === "BUY" ? "up" : "down"}>{order.side.toLowerCase()}</td>
      <td className="wide">{order.type.toLowerCase()}</td>
      <td>{trimmed(order.quantity)}</td>
      <td>{order.averagePrice ?? order.price ?? DASH}</td>
      <td>{order.status.toLowerCase().replace("_", " ")}</td>
      <td className="wide">{timeText(order.createdAt)}</td>
      <td>
        {OPEN.includes(order.status) && (
          <button type="button" onClick={cancel} aria-label={`Cancel the ${order.side.toLowerCase()} of ${order.quantity} ${order.symbolName}`}>
            cancel
          </button>
        )}
      </td>
    </tr>
  );
}

export function Orders({ desk }: { desk: Desk }) {
  const orders = useStore(desk.orders);
  const notice = useStore(desk.notice);
  const open = orders.filter((order) => OPEN.includes(order.status));
  const over = orders.filter((order) => !OPEN.includes(order.status)).slice(0, 30);
  return (
    <Panel title="Orders" name="orders" extra={<span className="badge">{open.length} open</span>}>
      <Problem text={notice} />
      <table>
        <thead>
          <tr>
            {["Symbol", "Side", "Type", "Quantity", "Price", "Status", "Placed, UTC"].map((name) => (
              <th key={name} scope="col" className={name === "Type" || name === "Placed, UTC" ? "wide" : ""}>
                {name}
              </th>
            ))}
            <th scope="col">
              <span className="unseen">Cancel</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {[...open, ...over].map((order) => (
            <OrderRow key={order.id} desk={desk} order={order} refuse={(text) => desk.notice.set(text)} />
          ))}
        </tbody>
      </table>
      {orders.length === 0 && <p className="empty">No orders yet.</p>}
    </Panel>
  );
}
