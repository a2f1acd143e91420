// Node peers of fanout.py: `graphql-ws` over `ws`, and Mercurius. They obey the same commands as the Python servers.
import { createInterface } from 'node:readline';
import http from 'node:http';

const schemaText = `
  type Ticker { bid: String ask: String last: String high: String low: String volume: String }
  type Query { hello: String }
  type Subscription { ticker(exchange: String!, symbol: String!, snapshot: Boolean): Ticker! }`;
const symbols = ['BTC/USD', ...Array.from({ length: 49 }, (_, i) => `B${String(i + 1).padStart(2, '0')}/USD`)];
const readers = new Map();

// An async iterator with a queue: what repeaters and PubSub give to graphql-js.
function listen(symbol) {
  const queue = [], waiting = [];
  let done = false;
  const take = (tick) => (waiting.length ? waiting.shift()({ value: tick, done: false }) : queue.push(tick));
  if (!readers.has(symbol)) readers.set(symbol, new Set());
  readers.get(symbol).add(take);
  return {
    [Symbol.asyncIterator]() { return this; },
    next() {
      if (done) return Promise.resolve({ value: undefined, done: true });
      return queue.length ? Promise.resolve({ value: queue.shift(), done: false }) : new Promise((r) => waiting.push(r));
    },
    return() { done = true; readers.get(symbol).delete(take); return Promise.resolve({ value: undefined, done: true }); },
  };
}

function publish(symbol) {
  const prices = { bid: '60000.1', ask: '60000.2', high: '61000.5', low: '59000.5', volume: '123.456' };
  const tick = { ticker: { ...prices, last: String(process.hrtime.bigint()) } };
  for (const take of readers.get(symbol) ?? []) take(tick);
}

async function startGraphqlWs() {
  const { buildSchema } = await import('graphql');
  const { WebSocketServer } = await import('ws');
  const { useServer } = await import('graphql-ws/use/ws');
  const schema = buildSchema(schemaText);
  schema.getSubscriptionType().getFields().ticker.subscribe = (_root, args) => listen(args.symbol);
  const server = http.createServer();
  useServer({ schema }, new WebSocketServer({ server, path: '/graphql' }));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server.address().port;
}

async function startMercurius() {
  const { default: fastify } = await import('fastify');
  const { default: mercurius } = await import('mercurius');
  const app = fastify();
  const resolvers = { Subscription: { ticker: { subscribe: (_root, args) => listen(args.symbol) } } };
  await app.register(mercurius, { schema: schemaText, resolvers, subscription: true });
  await app.listen({ port: 0, host: '127.0.0.1' });
  return app.server.address().port;
}

const port = await (process.argv[2] === 'mercurius' ? startMercurius() : startGraphqlWs());
console.log(JSON.stringify({ url: `127.0.0.1:${port}`, token: '', pid: process.pid }));
const lines = createInterface({ input: process.stdin });
lines.on('close', () => process.exit(0));
lines.on('line', (line) => {
  const [word, first, second] = line.split(' ');
  if (word === 'tick') symbols.slice(0, Number(first)).forEach(publish);
  if (word === 'rate') {
    const total = Number(first) * Number(second), started = performance.now();
    let sent = 0;
    const step = () => {
      while (sent < total && performance.now() - started >= (sent * 1000) / Number(first)) { publish(symbols[0]); sent += 1; }
      if (sent < total) setTimeout(step, 1); else console.log('{"done":true}');
    };
    step();
  }
});
