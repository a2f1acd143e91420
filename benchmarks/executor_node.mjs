// Node peers of executor.py: Mercurius with its compiler, with linked objects (`mercurius`) or with loaders (`mercurius_loaders`).
import { readFileSync } from 'node:fs';

const { default: fastify } = await import('fastify');
const { default: mercurius } = await import('mercurius');

const [, , kind, folder] = process.argv;
const rows = JSON.parse(readFileSync(`${folder}/rows.json`, 'utf8'));
const schema = readFileSync(`${folder}/schema.graphql`, 'utf8');

const bots = rows.bots.map((list, user) => list.map((bot, n) => ({ ...bot, number: user * 10 + n })));
const users = rows.users.map((user, n) => ({ ...user, number: n }));
const symbols = rows.symbols.map((symbol, n) => ({ ...symbol, number: n }));

const of = {
  candles: () => rows.candles,
  ticker: (symbol) => rows.tickers[symbol.number],
  bots: (user) => bots[user.number],
  orders: (bot) => rows.orders[bot.number],
  symbol: (order) => symbols[order.symbolId],
};
const Query = {
  symbol: (_root, args) => symbols[Number(args.name.slice(1, -4))],
  symbols: () => symbols,
  me: () => users[3],
};
const single = (field) => (parent) => of[field](parent);
const many = (field) => async (queries) => queries.map(({ obj }) => of[field](obj));
const way = kind === 'mercurius' ? single : many;
const fields = {
  Symbol: { candles: way('candles'), ticker: way('ticker') },
  User: { bots: way('bots') },
  Bot: { orders: way('orders') },
  Order: { symbol: way('symbol') },
};

const app = fastify();
const options = kind === 'mercurius' ? { resolvers: { Query, ...fields } } : { resolvers: { Query }, loaders: fields };
await app.register(mercurius, { schema, jit: 1, ...options });
await app.listen({ port: 0, host: '127.0.0.1' });
console.log(JSON.stringify({ port: app.server.address().port, pid: process.pid }));
process.stdin.resume();
process.stdin.on('close', () => process.exit(0));
