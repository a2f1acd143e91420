// The way to the server: requests by HTTP, streams over one socket that comes back by itself and goes on where it stopped.
import { createClient } from "graphql-ws";
import type { Operation } from "./generated";
import { Store } from "./store";

export interface Connection {
  state: "connecting" | "live" | "lost";
  lagMs: number | null;
}

interface Answer<D> {
  data?: D | null;
  errors?: readonly { message: string; extensions?: Record<string, unknown> }[];
}

const PING_MS = 2_000;
const AGAIN_MS = 1_000;
const FINAL_CODES = ["FORBIDDEN", "VALIDATION_FAILED", "BAD_USER_INPUT", "NOT_FOUND"];

export class Server {
  readonly connection = new Store<Connection>({ state: "connecting", lagMs: null });
  #path: string;
  #token: () => string;
  #socket;
  #closed = false;

  constructor(path: string, token: () => string) {
    this.#path = path;
    this.#token = token;
    const url = new URL(path, window.location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    let pinged = 0;
    let timer = 0;
    this.#socket = createClient({
      url: url.href,
      connectionParams: () => ({ authorization: `Bearer ${this.#token()}` }),
      retryAttempts: Infinity,
      shouldRetry: () => true,
      retryWait: (tries) => new Promise((done) => setTimeout(done, Math.min(250 * 2 ** tries, 3_000) * (0.5 + Math.random() / 2))),
      keepAlive: PING_MS,
      on: {
        connected: () => this.connection.set({ state: "live", lagMs: null }),
        closed: () => {
          clearTimeout(timer);
          if (!this.#closed) this.connection.set({ state: "lost", lagMs: null });
        },
        ping: (received) => {
          if (received) return;
          pinged = performance.now();
          timer = window.setTimeout(() => this.#socket.terminate(), 3 * PING_MS);
        },
        pong: (received) => {
          if (!received) return;
          clearTimeout(timer);
          this.connection.set({ state: "live", lagMs: performance.now() - pinged });
        },
      },
    });
  }

  async ask<D, V extends Record<string, unknown>>(operation: Operation<D, V>, variables: V): Promise<D> {
    const response = await fetch(this.#path, {
      method: "POST",
      headers: {
        "Content-Type": "application/json",
        Accept: "application/graphql-response+json",
        Authorization: `Bearer ${this.#token()}`,
      },
      body: JSON.stringify({ query: operation.text, operationName: operation.name, variables }),
    });
    const answer = (await response.json()) as Answer<D>;
    const problem = answer.errors?.[0];
    if (problem || !answer.data) throw new Error(problem?.message ?? `the server answered ${response.status}`);
    return answer.data;
  }

  // Watch until the returned function is called. A stream that ends for a reason that can pass is opened again; what `take`
  // writes into `variables` (a cursor) is sent with the next opening, so nothing is lost or doubled.
  watch<D, V extends Record<string, unknown>>(
    operation: Operation<D, V>,
    variables: V,
    take: (data: D) => void,
    refused: (message: string) => void = () => {},
  ): () => void {
    let stop = () => {};
    let timer = 0;
    let over = false;
    const open = () => {
      if (over) return;
      let problem: { message: string; code?: unknown } | null = null;
      const end = () => {
        if (over) return;
        if (problem && FINAL_CODES.includes(String(problem.code))) refused(problem.message);
        else timer = window.setTimeout(open, AGAIN_MS);
      };
      const payload = { query: operation.text, operationName: operation.name, variables };
      stop = this.#socket.subscribe<D>(payload, {
        next: ({ data, errors }) => {
          if (errors?.[0]) problem = { message: errors[0].message, code: errors[0].extensions?.code };
          if (data) take(data);
        },
        error: (error) => {
          const first = Array.isArray(error) ? error[0] : null;
          if (first) problem = { message: first.message, code: first.extensions?.code };
          end();
        },
        complete: end,
      });
    };
    open();
    return () => {
      over = true;
      clearTimeout(timer);
      stop();
    };
  }

  // Open a new socket with the token of now; the streams go on.
  reconnect(): void {
    this.#socket.terminate();
  }

  close(): void {
    this.#closed = true;
    void this.#socket.dispose();
  }
}
