// Who is signed in on this page: one token, kept until the browser tab closes.
const KEY = "fullon:session";
const LOGIN = `mutation Login($input: LoginInput!) {
  login(input: $input) { token { accessToken expiresAt } user { mail role } userErrors { message } }
}`;
const LOGOUT = "mutation Logout { logout { userErrors { message } } }";

export const readSession = () => JSON.parse(sessionStorage.getItem(KEY) ?? "null");

async function post(path, query, variables, token) {
  const headers = { "Content-Type": "application/json", Accept: "application/graphql-response+json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  const response = await fetch(path, { method: "POST", headers, body: JSON.stringify({ query, variables }) });
  const body = await response.json();
  if (body.errors?.length) throw new Error(body.errors[0].message);
  return body.data;
}

export async function signIn(path, mail, password) {
  const { login } = await post(path, LOGIN, { input: { mail, password } });
  if (login.userErrors.length) throw new Error(login.userErrors[0].message);
  const session = { token: login.token.accessToken, expiresAt: login.token.expiresAt, mail: login.user.mail, role: login.user.role };
  sessionStorage.setItem(KEY, JSON.stringify(session));
  return session;
}

// The page forgets the token even when the server cannot be asked to revoke it; the caller hears of that.
export async function signOut(path, session) {
  sessionStorage.removeItem(KEY);
  await post(path, LOGOUT, {}, session.token);
}
