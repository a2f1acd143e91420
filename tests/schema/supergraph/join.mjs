// Joins a running gateway with a second subgraph: composes both, then asks @apollo/gateway for answers that need both.
// Prints one line of JSON for each check. Arguments: base URL, token.
import assert from "node:assert/strict";
import { composeServices } from "@apollo/composition";
import { ApolloGateway, LocalGraphQLDataSource, RemoteGraphQLDataSource } from "@apollo/gateway";
import { buildSubgraphSchema } from "@apollo/subgraph";
import { Trace } from "@apollo/usage-reporting-protobuf";
import { parse } from "graphql";

const [base, token] = process.argv.slice(2);
const authorization = `Bearer ${token}`;
const post = async (query, variables = {}, headers = {}) => {
  const response = await fetch(`${base}/graphql`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization, ...headers },
    body: JSON.stringify({ query, variables }),
  });
  return response.json();
};
const told = (name, value) => console.log(JSON.stringify({ [name]: value }));

const sdl = (await post("{ _service { sdl } }")).data._service.sdl;
const notes = parse(`
  extend schema @link(url: "https://specs.apollo.dev/federation/v2.7", import: ["@key", "@shareable"])
  type Query { favourites: [Symbol!]!  watched: [Bot!]! }
  type Symbol @key(fields: "exchange { name } symbol") {
    symbol: String! @shareable exchange: Exchange @shareable note: String!
  }
  type Bot @key(fields: "id") { id: ID! note: String! }
  type Exchange @key(fields: "name") { name: String! @shareable }
`);
const composed = composeServices([
  { name: "fullon", url: `${base}/graphql`, typeDefs: parse(sdl) },
  { name: "notes", url: "http://notes.invalid/graphql", typeDefs: notes },
]);
assert.deepEqual(composed.errors?.map((error) => error.message) ?? [], []);
told("composed", composed.supergraphSdl.includes("join__Graph"));

const named = (symbol) => ({ __typename: "Symbol", symbol, exchange: { name: "kraken" } });
const bots = (await post("{ me { bots(first: 2) { nodes { id name } } } }")).data.me.bots.nodes;
assert.ok(bots.length > 0);
const schema = buildSubgraphSchema({
  typeDefs: notes,
  resolvers: {
    Query: { favourites: () => [named("BTC/USD"), named("ETH/USD")], watched: () => bots.map(({ id }) => ({ id })) },
    Symbol: { note: ({ symbol }) => `note of ${symbol}`, __resolveReference: (symbol) => symbol },
    Bot: { note: ({ id }) => `note of ${id}`, __resolveReference: (bot) => bot },
  },
});

let asked = [];
class Fullon extends RemoteGraphQLDataSource {
  willSendRequest({ request }) {
    asked.push({ query: request.query, variables: request.variables });
    request.http.headers.set("authorization", authorization);
  }
}
const gateway = new ApolloGateway({
  supergraphSdl: composed.supergraphSdl,
  logger: { debug() {}, info() {}, warn: console.error, error: console.error },
  buildService: ({ name, url }) => (name === "notes" ? new LocalGraphQLDataSource(schema) : new Fullon({ url })),
});
const { executor } = await gateway.load();
const run = async (query) => {
  asked = [];
  const source = query;
  const answer = await executor({
    document: parse(query),
    request: { query, variables: {} },
    context: {},
    queryHash: source,
    operationName: null,
    source,
    logger: console,
    metrics: {},
    overallCachePolicy: { restrict() {}, policyIfCacheable: () => null },
    schema: gateway.schema,
  });
  assert.equal(answer.errors, undefined, JSON.stringify(answer.errors));
  return JSON.parse(JSON.stringify(answer.data));
};

const byName = await run("{ favourites { note symbol ticker { bid } candles(timeframe: MINUTE_1, limit: 1) { close } } }");
assert.deepEqual(byName.favourites.map(({ note }) => note), ["note of BTC/USD", "note of ETH/USD"]);
assert.ok(byName.favourites.every(({ ticker }) => Number(ticker.bid) > 0));
assert.equal(asked.length, 1);
assert.equal(asked[0].variables.representations.length, 2);
told("by name, in one request", byName.favourites.map(({ symbol }) => symbol));

const byId = await run("{ watched { note name strategies { name } } }");
assert.deepEqual(byId.watched.map(({ name }) => name), bots.map(({ name }) => name));
assert.equal(asked.length, 1);
told("by id, in one request", byId.watched.length);

const there = await run("{ symbols(first: 2) { nodes { symbol note } } }");
assert.deepEqual(there.symbols.nodes.map(({ note }) => note.startsWith("note of ")), [true, true]);
told("from us to them", there.symbols.nodes.length);

const traced = await post("{ symbols(first: 2) { nodes { name: symbol ticker { bid } } } node(id: \"x\") { id } }", {}, {
  "apollo-federation-include-trace": "ftv1",
});
const trace = Trace.decode(Buffer.from(traced.extensions.ftv1, "base64"));
const seen = [];
const walk = (node, path) => {
  const here = node.id ? [...path, node[node.id]] : path;
  if (node.responseName) {
    assert.ok(Number(node.startTime) <= Number(node.endTime) && Number(node.endTime) <= Number(trace.durationNs), here.join("."));
    seen.push(`${here.join(".")}: ${node.parentType}.${node.originalFieldName || node.responseName}: ${node.type}`);
  }
  for (const child of node.child) walk(child, here);
};
walk(trace.root, []);
assert.ok(seen.includes("symbols: Query.symbols: SymbolConnection"), seen.join("\n"));
assert.ok(seen.includes("symbols.nodes.1.name: Symbol.symbol: String!"), seen.join("\n"));
assert.ok(seen.includes("symbols.nodes.0.ticker.bid: Ticker.bid: Decimal"), seen.join("\n"));
assert.ok(Number(trace.durationNs) > 0);
assert.equal((await post("{ __typename }")).extensions, undefined);
told("traced", seen.length);
await gateway.stop();
