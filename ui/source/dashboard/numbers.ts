// How numbers and times are shown. Decimals arrive as text and are shown as they came; only charts make floats of them.
export const DASH = "–";

export function ageText(seconds: number): string {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min`;
  return `${Math.floor(seconds / 3_600)} h`;
}

export function ageSeconds(then: string | null | undefined, nowMs: number): number | null {
  return then ? Math.max(0, (nowMs - Date.parse(then)) / 1000) : null;
}

// Exactly the difference of two decimals, by integers: 0.3 - 0.1 is 0.2.
export function difference(high: string, low: string): string {
  const places = Math.max(decimalsOf(high), decimalsOf(low));
  const scaled = scale(high, places) - scale(low, places);
  const digits = (scaled < 0n ? -scaled : scaled).toString().padStart(places + 1, "0");
  const text = places ? `${digits.slice(0, -places)}.${digits.slice(-places)}` : digits;
  return scaled < 0n ? `-${text}` : text;
}

const decimalsOf = (text: string) => (text.split(".")[1] ?? "").length;

function scale(text: string, places: number): bigint {
  const [whole = "0", part = ""] = text.split(".");
  return BigInt(whole + part.padEnd(places, "0"));
}

// The time of day in UTC, as the chart has it, with the date before it where that is not today.
export function timeText(iso: string): string {
  const then = new Date(iso).toISOString();
  const [day, time] = [then.slice(0, 10), then.slice(11, 19)];
  return new Date().toISOString().startsWith(day) ? time : `${day} ${time}`;
}

// Trailing zeros tell nothing in a balance.
export const trimmed = (text: string) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);

export const signOf = (text: string | null | undefined) => (!text || /^-?0*\.?0*$/.test(text) ? "" : text.startsWith("-") ? "down" : "up");
