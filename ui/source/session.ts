// Who is signed in on this page: one session, kept until the browser tab closes.
import { Login, Logout, RefreshToken } from "./dashboard/generated";

const KEY = "fullon:session";

export interface Session {
  token: string;
  refreshToken: string;
  expiresMs: number;
  mail: string;
  role: string;
}

interface Payload {
  accessToken: string;
  refreshToken: string;
  expiresIn: number;
  user: { mail: string; role: string };
  userErrors: { message: string }[];
}

export const readSession = (): Session | null => JSON.parse(sessionStorage.getItem(KEY) ?? "null") as Session | null;

async function post(path: string, query: string, input: Record<string, string>, token?: string): Promise<Payload> {
  const headers: Record<string, string> = { "Content-Type": "application/json", Accept: "application/graphql-response+json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  const response = await fetch(path, { method: "POST", headers, body: JSON.stringify({ query, variables: { input } }) });
  const { data, errors } = (await response.json()) as { data?: Record<string, Payload> | null; errors?: { message: string }[] };
  const payload = Object.values(data ?? {})[0];
  const problem = errors?.[0] ?? payload?.userErrors[0];
  if (problem || !payload) throw new Error(problem?.message ?? `the server answered ${response.status}`);
  return payload;
}

function keep({ accessToken, refreshToken, expiresIn, user }: Payload): Session {
  const session = { token: accessToken, refreshToken, expiresMs: Date.now() + expiresIn * 1000, ...user };
  sessionStorage.setItem(KEY, JSON.stringify(session));
  return session;
}

export async function signIn(path: string, mail: string, password: string, totp = ""): Promise<Session> {
  return keep(await post(path, Login.text, totp ? { mail, password, totp } : { mail, password }));
}

// A session is renewed in the last tenth of its life, so that an open page stays signed in.
export async function renew(path: string, session: Session): Promise<Session> {
  return keep(await post(path, RefreshToken.text, { refreshToken: session.refreshToken }));
}

export function forget(): void {
  sessionStorage.removeItem(KEY);
}

// The page forgets the session even when the server cannot be asked to end it; the caller hears of that.
export async function signOut(path: string, session: Session): Promise<void> {
  forget();
  await post(path, Logout.text, { refreshToken: session.refreshToken }, session.token);
}
