// Who is signed in on this page: one session, kept until the browser tab closes.
const KEY = "fullon:session";
const FIELDS = "accessToken refreshToken expiresIn user { mail role } userErrors { message }";
const LOGIN = `mutation Login($input: LoginInput!) { login(input: $input) { ${FIELDS} } }`;
const REFRESH = `mutation Refresh($input: RefreshTokenInput!) { refreshToken(input: $input) { ${FIELDS} } }`;
const LOGOUT = "mutation Logout($input: LogoutInput!) { logout(input: $input) { userErrors { message } } }";

export const readSession = () => JSON.parse(sessionStorage.getItem(KEY) ?? "null");

async function post(path, query, variables, token) {
  const headers = { "Content-Type": "application/json", Accept: "application/graphql-response+json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  const response = await fetch(path, { method: "POST", headers, body: JSON.stringify({ query, variables }) });
  const { data, errors } = await response.json();
  const [payload] = Object.values(data ?? {});
  const problem = errors?.[0] ?? payload?.userErrors[0];
  if (problem) throw new Error(problem.message);
  return payload;
}

function keep({ accessToken, refreshToken, expiresIn, user }) {
  const session = { token: accessToken, refreshToken, expiresMs: Date.now() + expiresIn * 1000, ...user };
  sessionStorage.setItem(KEY, JSON.stringify(session));
  return session;
}

export async function signIn(path, mail, password) {
  return keep(await post(path, LOGIN, { input: { mail, password } }));
}

// A session is renewed in the last tenth of its life, so that an open page stays signed in.
export async function renew(path, session) {
  return keep(await post(path, REFRESH, { input: { refreshToken: session.refreshToken } }));
}

export function forget() {
  sessionStorage.removeItem(KEY);
}

// The page forgets the session even when the server cannot be asked to end it; the caller hears of that.
export async function signOut(path, session) {
  forget();
  await post(path, LOGOUT, { input: { refreshToken: session.refreshToken } }, session.token);
}
