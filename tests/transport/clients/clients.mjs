// Real clients against the running stage: each one queries, subscribes, hears three ticks, sees a coded error, and leaves.
import assert from 'node:assert/strict';
import WebSocket from 'ws';

const url = process.argv[2];
const wsUrl = url.replace('http', 'ws');
const QUERY = '{ whoami }';
const TICKER = 'subscription { ticker(exchange: "kraken", symbol: "BTC/USD") { symbol last } }';
const SECRET = 'subscription { secret }';
const token = 'user:7';

function rising(ticks) {
  assert.equal(ticks.length, 3);
  ticks.forEach((tick) => assert.equal(tick.symbol, 'BTC/USD'));
  assert.ok(Number(ticks[0].last) < Number(ticks[1].last) && Number(ticks[1].last) < Number(ticks[2].last));
}

// Calls `subscribe(next, error)`, which returns how to stop; resolves with the first `count` values.
function take(count, subscribe) {
  return new Promise((resolve, reject) => {
    const got = [];
    let stop;
    stop = subscribe((value) => {
      if (got.length === count) return; // What was on its way before the stop.
      got.push(value);
      if (got.length === count) { setTimeout(() => stop?.(), 0); resolve(got); }
    }, reject);
  });
}

const cases = {
  async 'graphql-ws'() {
    const { createClient } = await import('graphql-ws');
    const client = createClient({ url: wsUrl, webSocketImpl: WebSocket, connectionParams: { token }, retryAttempts: 0 });
    const once = (query) => take(1, (next, error) => client.subscribe({ query }, { next, error, complete() {} }));
    assert.deepEqual(await once(QUERY), [{ data: { whoami: 'user7@fullon' } }]);
    const ticks = await take(3, (next, error) => client.subscribe({ query: TICKER }, { next, error, complete() {} }));
    rising(ticks.map((tick) => tick.data.ticker));
    await assert.rejects(once(SECRET), (errors) => errors[0].extensions.code === 'FORBIDDEN');
    await client.dispose();
  },
  async 'subscriptions-transport-ws'() {
    const { SubscriptionClient } = (await import('subscriptions-transport-ws')).default;
    // By default it gives a connection one second, and without `reconnect` then waits for ever.
    const options = { connectionParams: { token }, reconnect: false, minTimeout: 20_000 };
    const client = new SubscriptionClient(wsUrl, options, WebSocket);
    const run = (query) => (next, error) => {
      const { unsubscribe } = client.request({ query }).subscribe({ next, error });
      return unsubscribe;
    };
    assert.deepEqual(await take(1, run(QUERY)), [{ data: { whoami: 'user7@fullon' } }]);
    rising((await take(3, run(TICKER))).map((tick) => tick.data.ticker));
    await assert.rejects(take(1, run(SECRET)), (error) => /Admin/.test(JSON.stringify(error) + error.message));
    client.close();
  },
  async 'apollo-client'() {
    const { ApolloClient, InMemoryCache, gql } = await import('@apollo/client');
    const { GraphQLWsLink } = await import('@apollo/client/link/subscriptions');
    const { createClient } = await import('graphql-ws');
    const socket = createClient({ url: wsUrl, webSocketImpl: WebSocket, connectionParams: { token } });
    const client = new ApolloClient({ link: new GraphQLWsLink(socket), cache: new InMemoryCache() });
    assert.equal((await client.query({ query: gql(QUERY) })).data.whoami, 'user7@fullon');
    const ticks = await take(3, (next, error) => {
      const subscription = client.subscribe({ query: gql(TICKER) }).subscribe({ next, error });
      return () => subscription.unsubscribe();
    });
    rising(ticks.map((tick) => tick.data.ticker));
    client.stop();
    await socket.dispose();
  },
  async 'apollo-client over multipart HTTP'() {
    const { ApolloClient, HttpLink, InMemoryCache, gql } = await import('@apollo/client');
    const link = new HttpLink({ uri: url, headers: { authorization: `Bearer ${token}` } });
    const client = new ApolloClient({ link, cache: new InMemoryCache() });
    assert.equal((await client.query({ query: gql(QUERY) })).data.whoami, 'user7@fullon');
    const ticks = await take(3, (next, error) => {
      const subscription = client.subscribe({ query: gql(TICKER) }).subscribe({ next, error });
      return () => subscription.unsubscribe();
    });
    rising(ticks.map((tick) => tick.data.ticker));
    client.stop();
  },
  async urql() {
    const { Client, fetchExchange, subscriptionExchange } = await import('@urql/core');
    const { createClient } = await import('graphql-ws');
    const socket = createClient({ url: wsUrl, webSocketImpl: WebSocket, connectionParams: { token } });
    const forwardSubscription = (request) => ({
      subscribe: (sink) => ({ unsubscribe: socket.subscribe({ ...request, query: request.query ?? '' }, sink) }),
    });
    const client = new Client({
      url,
      preferGetMethod: false,
      fetchOptions: { headers: { authorization: `Bearer ${token}` } },
      exchanges: [fetchExchange, subscriptionExchange({ forwardSubscription })],
    });
    const answer = await client.query(QUERY, {}).toPromise();
    assert.equal(answer.error, undefined);
    assert.equal(answer.data.whoami, 'user7@fullon');
    const ticks = await take(3, (next) => client.subscription(TICKER, {}).subscribe((tick) => next(tick)).unsubscribe);
    rising(ticks.map((tick) => tick.data.ticker));
    await socket.dispose();
  },
  async 'urql over event streams'() {
    const { Client, fetchExchange } = await import('@urql/core');
    const client = new Client({
      url,
      fetchSubscriptions: true,
      preferGetMethod: false,
      fetchOptions: { headers: { authorization: `Bearer ${token}` } },
      exchanges: [fetchExchange],
    });
    const ticks = await take(3, (next) => client.subscription(TICKER, {}).subscribe((tick) => next(tick)).unsubscribe);
    rising(ticks.map((tick) => tick.data.ticker));
  },
  async 'graphql-sse'() {
    const { createClient } = await import('graphql-sse');
    const client = createClient({ url, headers: { authorization: `Bearer ${token}` }, retryAttempts: 0 });
    const run = (query) => (next, error) => client.subscribe({ query }, { next, error, complete() {} });
    assert.deepEqual(await take(1, run(QUERY)), [{ data: { whoami: 'user7@fullon' } }]);
    rising((await take(3, run(TICKER))).map((tick) => tick.data.ticker));
    client.dispose();
  },
  async 'the audits of graphql-http'() {
    const { serverAudits } = await import('graphql-http');
    for (const headers of [{}, { authorization: `Bearer ${token}` }]) {
      const fetchFn = (target, init = {}) => fetch(target, { ...init, headers: { ...init.headers, ...headers } });
      const failed = [];
      for (const audit of serverAudits({ url, fetchFn })) {
        const result = await audit.fn();
        if (result.status !== 'ok') failed.push(`${result.id} ${result.name}: ${result.reason}`);
      }
      assert.deepEqual(failed, []);
    }
  },
};

const chosen = process.argv[3] ? [process.argv[3]] : Object.keys(cases);
let failures = 0;
for (const name of chosen) {
  const limit = new Promise((_resolve, reject) => setTimeout(() => reject(new Error('took longer than 20 s')), 20_000).unref());
  try {
    await Promise.race([cases[name](), limit]);
    console.log(`ok ${name}`);
  } catch (error) {
    failures += 1;
    console.log(`FAILED ${name}: ${error?.stack ?? JSON.stringify(error)}`);
  }
}
process.exit(failures ? 1 : 0);
