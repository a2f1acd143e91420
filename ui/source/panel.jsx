// The panel that a visitor sees first: sign in, then pick an operation.
import { useGraphiQL, useGraphiQLActions } from "@graphiql/react";
import { createContext, useContext, useEffect, useRef, useState } from "react";
import { EXAMPLES } from "./examples.js";
import { forget, renew, signIn, signOut } from "./session";

export const SessionContext = createContext(null);

// Where the page was entered by a door, whoever is signed in no longer stands before it again.
function leavePage() {
  if (document.getElementById("root").dataset.door !== undefined) window.location.reload();
}

function SignedIn({ path, session, setSession, setNotice }) {
  const leave = async () => {
    setSession(null);
    try {
      await signOut(path, session);
    } catch (error) {
      setNotice(`Signed out here; the server did not confirm it: ${error.message}`);
    }
    leavePage();
  };
  return (
    <div className="fullon-box">
      <p data-testid="signed-in">
        Signed in as <strong>{session.mail}</strong> ({session.role.toLowerCase()})
      </p>
      <button type="button" className="graphiql-button" onClick={leave}>
        Sign out
      </button>
    </div>
  );
}

function SignIn({ path, setSession, notice, setNotice }) {
  const [busy, setBusy] = useState(false);
  const enter = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    setBusy(true);
    setNotice("");
    try {
      setSession(await signIn(path, form.get("mail"), form.get("password"), form.get("totp")));
    } catch (error) {
      setNotice(error.message);
      setBusy(false);
    }
  };
  return (
    <form className="fullon-box" onSubmit={enter}>
      <label>
        Mail
        <input name="mail" type="text" inputMode="email" autoComplete="username" required />
      </label>
      <label>
        Password
        <input name="password" type="password" autoComplete="current-password" required />
      </label>
      <label>
        Code, if you use a second factor
        <input name="totp" inputMode="numeric" autoComplete="one-time-code" />
      </label>
      <button type="submit" className="graphiql-button graphiql-button-success" disabled={busy}>
        Sign in
      </button>
      {notice && <p role="alert">{notice}</p>}
    </form>
  );
}

function Examples() {
  const { addTab, changeTab } = useGraphiQLActions();
  const queryEditor = useGraphiQL((state) => state.queryEditor);
  const tabs = useGraphiQL((state) => state.tabs);
  const open = (query) => {
    const known = tabs.findIndex((tab) => tab.query === query);
    if (known >= 0) return changeTab(known);
    addTab();
    queryEditor?.setValue(query);
  };
  return EXAMPLES.map(({ group, items }) => (
    <section key={group}>
      <h3>{group}</h3>
      <ul>
        {items.map(({ name, query }) => (
          <li key={name}>
            <button type="button" className="graphiql-un-styled" onClick={() => open(query)}>
              {name}
            </button>
          </li>
        ))}
      </ul>
    </section>
  ));
}

export function StartPanel() {
  const shared = useContext(SessionContext);
  return (
    <div className="fullon-panel">
      <div className="graphiql-doc-explorer-title">Start here</div>
      {shared.session ? <SignedIn {...shared} /> : <SignIn {...shared} />}
      <Examples />
    </div>
  );
}

function parsed(text) {
  if (!text.trim()) return {};
  try {
    return JSON.parse(text);
  } catch {
    return null; // Half-typed headers are left as they are.
  }
}

// Keeps the Authorization header of the shown tab in step with the session; one typed by hand is not touched.
export function SessionHeaders() {
  const { path, session, setSession, setNotice } = useContext(SessionContext);
  const headerEditor = useGraphiQL((state) => state.headerEditor);
  const { introspect } = useGraphiQLActions();
  const ours = useRef(new Set());
  const wanted = session ? `Bearer ${session.token}` : null;

  useEffect(() => {
    if (!headerEditor) return;
    const fill = () => {
      const headers = parsed(headerEditor.getValue());
      if (!headers) return;
      const present = headers.Authorization;
      if (present === (wanted ?? undefined) || (present !== undefined && !ours.current.has(present))) return;
      if (wanted) {
        ours.current.add(wanted);
        headers.Authorization = wanted;
      } else {
        delete headers.Authorization;
      }
      headerEditor.setValue(Object.keys(headers).length ? JSON.stringify(headers, null, 2) : "");
    };
    fill();
    if (wanted) introspect();
    // Showing a tab replaces the whole text (a flush), by a copy that may be older than the session; typing does not.
    // The editor may not be written to while it tells of a change: a microtask runs right after it.
    const watched = headerEditor.onDidChangeModelContent(({ isFlush }) => {
      if (isFlush) queueMicrotask(fill);
    });
    return () => watched.dispose();
  }, [headerEditor, wanted, introspect]);

  useEffect(() => {
    if (!session) return;
    const renewSoon = async () => {
      try {
        setSession(await renew(path, session));
      } catch (error) {
        forget();
        setSession(null);
        setNotice(`Your session has ended, sign in again: ${error.message}`);
        leavePage();
      }
    };
    const timer = setTimeout(renewSoon, Math.max(0, (session.expiresMs - Date.now()) * 0.9));
    return () => clearTimeout(timer);
  }, [path, session, setSession, setNotice]);
  return null;
}

export const StartIcon = () => (
  <svg viewBox="0 0 24 24" fill="none" stroke="currentColor" strokeWidth="2" aria-hidden="true">
    <circle cx="12" cy="8" r="4" />
    <path d="M4 21c0-4.4 3.6-7 8-7s8 2.6 8 7" strokeLinecap="round" />
  </svg>
);
