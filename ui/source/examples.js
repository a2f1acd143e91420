// Operations to start from, for the three kinds of people who come to this page.
export const EXAMPLES = [
  {
    group: "Ask nested data",
    items: [
      {
        name: "Markets with ticker and candles",
        query: `query Markets {
  symbols(exchange: "kraken", first: 10) {
    nodes {
      exchange { name }
      symbol
      ticker { bid ask last }
      candles(timeframe: MINUTE_1, limit: 5) { openedAt open high low close volume }
    }
  }
}
`,
      },
      {
        name: "My bots and their orders",
        query: `query MyBots {
  me {
    mail
    bots {
      nodes {
        name
        orders(first: 5) { nodes { side quantity status symbol { symbol ticker { last } } } }
      }
    }
  }
}
`,
      },
    ],
  },
  {
    group: "Watch the market",
    items: [
      {
        name: "One ticker, live",
        query: `subscription WatchTicker {
  ticker(exchange: "kraken", symbol: "BTC/USD") {
    bid
    ask
    last
  }
}
`,
      },
      {
        name: "Many tickers in one stream",
        query: `subscription WatchTickers {
  tickers(exchange: "kraken", symbols: ["BTC/USD", "ETH/USD", "SOL/USD"]) {
    sequence
    gap
    tickers { symbol { symbol } bid ask last }
  }
}
`,
      },
    ],
  },
  {
    group: "Control the services (admin)",
    items: [
      {
        name: "How the services do",
        query: `query Services {
  services { name state desired lastError feeds { feed messages lagMs } }
}
`,
      },
      {
        name: "Stop the ticker service",
        query: `mutation StopTicker {
  stopService(input: { name: TICKER }) {
    service { name state }
    userErrors { code message }
  }
}
`,
      },
      {
        name: "Start the ticker service",
        query: `mutation StartTicker {
  startService(input: { name: TICKER }) {
    service { name state }
    userErrors { code message }
  }
}
`,
      },
      {
        name: "Restart the ticker service",
        query: `mutation RestartTicker {
  restartService(input: { name: TICKER }) {
    service { name state }
    userErrors { code message }
  }
}
`,
      },
    ],
  },
];

export const FIRST_TABS = EXAMPLES.map(({ items }) => ({ query: items[0].query }));
