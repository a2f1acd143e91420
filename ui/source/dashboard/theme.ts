// Dark or light: the system's choice until the reader makes one.
import { Store } from "./store";

export type Theme = "dark" | "light";

const KEY = "fullon:theme";
const system = window.matchMedia("(prefers-color-scheme: dark)");
const stored = () => localStorage.getItem(KEY) as Theme | null;
const now = (): Theme => stored() ?? (system.matches ? "dark" : "light");

export const theme = new Store<Theme>(now());

function show(): void {
  document.documentElement.dataset.theme = now();
  theme.set(now());
}

export function toggleTheme(): void {
  localStorage.setItem(KEY, now() === "dark" ? "light" : "dark");
  show();
}

system.addEventListener("change", show);
show();
