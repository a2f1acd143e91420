// A value that panels watch: one writer, many readers, told at most once per frame.
import { useSyncExternalStore } from "react";

const waiting = new Set<() => void>();

function flush(): void {
  const listeners = [...waiting];
  waiting.clear();
  for (const listener of listeners) listener();
}

function tellNextFrame(listener: () => void): void {
  if (waiting.size === 0) requestAnimationFrame(flush);
  waiting.add(listener);
}

export class Store<T> {
  #value: T;
  #listeners = new Set<() => void>();

  constructor(value: T) {
    this.#value = value;
  }

  get value(): T {
    return this.#value;
  }

  set(value: T): void {
    if (Object.is(value, this.#value)) return;
    this.#value = value;
    for (const listener of this.#listeners) tellNextFrame(listener);
  }

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
      waiting.delete(listener);
    };
  };

  read = (): T => this.#value;
}

export function useStore<T>(store: Store<T>): T {
  return useSyncExternalStore(store.subscribe, store.read);
}

// What a reader makes of the value: it is drawn anew only when that is another text or number.
export function useSelected<T, S extends string | number | boolean | null>(store: Store<T>, select: (value: T) => S): S {
  return useSyncExternalStore(store.subscribe, () => select(store.value));
}

// The time of every age on the page, so that a thousand cells need one timer.
export const clock = new Store(Date.now());
setInterval(() => clock.set(Date.now()), 1000);
