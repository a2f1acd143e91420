// The dashboard: who is signed in sees their market move.
import { type FormEvent, StrictMode, useEffect, useMemo, useState } from "react";
import { createRoot } from "react-dom/client";
import { forget, readSession, renew, type Session, signIn, signOut } from "../session";
import { Chart } from "./chart";
import { Server } from "./client";
import "./dashboard.css";
import { Desk } from "./desk";
import { Desk as DeskOperation } from "./generated";
import { Accounts, Bots } from "./holdings";
import { MarketWatch } from "./market";
import { Orders, Ticket } from "./orders";
import { Problem } from "./panel";
import { ServicesPanel } from "./services";
import { useStore } from "./store";
import { theme, toggleTheme } from "./theme";

const root = document.getElementById("root") as HTMLElement;
const path = root.dataset.graphql ?? "/graphql";

function SignIn({ enter, notice }: { enter: (session: Session) => void; notice: string }) {
  const [problem, setProblem] = useState(notice);
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    setProblem("");
    try {
      enter(await signIn(path, String(form.get("mail")), String(form.get("password")), String(form.get("totp"))));
    } catch (error) {
      setProblem((error as Error).message);
    }
  };
  return (
    <main className="door">
      <h1>Fullon</h1>
      <form onSubmit={submit}>
        <label>
          Mail
          <input name="mail" type="text" inputMode="email" autoComplete="username" required autoFocus />
        </label>
        <label>
          Password
          <input name="password" type="password" autoComplete="current-password" required />
        </label>
        <label>
          Code, if you use a second factor
          <input name="totp" inputMode="numeric" autoComplete="one-time-code" />
        </label>
        <button type="submit" className="buy">
          Sign in
        </button>
        <Problem text={problem} />
      </form>
    </main>
  );
}

function ConnectionState({ server }: { server: Server }) {
  const { state, lagMs } = useStore(server.connection);
  const text = state === "live" ? `live${lagMs === null ? "" : `, ${Math.max(1, Math.round(lagMs))} ms`}` : state === "lost" ? "connection lost, trying again" : "connecting";
  return (
    <p className={`connection ${state}`} data-connection={state} role={state === "lost" ? "alert" : undefined}>
      {text}
    </p>
  );
}

function Floor({ session, leave }: { session: Session; leave: () => void }) {
  const [desk, setDesk] = useState<Desk | null>(null);
  const [problem, setProblem] = useState("");
  const chosenTheme = useStore(theme);
  const [tries, setTries] = useState(0);
  const server = useMemo(() => new Server(path, () => readSession()?.token ?? ""), []);

  useEffect(() => {
    let close = () => {};
    let timer = 0;
    let over = false;
    server.ask(DeskOperation, {}).then(
      ({ me, symbols }) => {
        if (over || !me) return;
        const made = new Desk(server, me, symbols);
        close = made.open();
        setProblem("");
        setDesk(made);
      },
      (error: Error) => {
        if (over) return;
        setProblem(`The desk could not be read: ${error.message}`);
        timer = window.setTimeout(() => setTries((count) => count + 1), 2_000);
      },
    );
    return () => {
      over = true;
      clearTimeout(timer);
      close();
    };
  }, [server, tries]);

  useEffect(() => server.reconnect(), [server, session.token]); // A renewed token opens a socket that lives as long as it.

  return (
    <>
      <header className="top">
        <h1>Fullon</h1>
        <ConnectionState server={server} />
        {root.dataset.graphiql !== undefined && (
          <nav aria-label="Elsewhere">
            <a href={path}>GraphiQL</a>
          </nav>
        )}
        <span className="who">{session.mail}</span>
        <button type="button" onClick={toggleTheme}>
          {chosenTheme === "dark" ? "Light" : "Dark"}
        </button>
        <button type="button" onClick={leave}>
          Sign out
        </button>
      </header>
      <main className="floor">
        <Problem text={problem} />
        {!desk && !problem && (
          <p className="empty" role="status">
            Loading your desk …
          </p>
        )}
        {desk && (
          <>
            <MarketWatch desk={desk} />
            <Chart desk={desk} theme={chosenTheme} />
            <Ticket desk={desk} />
            <Orders desk={desk} />
            <Accounts desk={desk} />
            <Bots desk={desk} />
            {desk.me.role === "ADMIN" && <ServicesPanel desk={desk} />}
          </>
        )}
      </main>
    </>
  );
}

function Page() {
  const [session, setSession] = useState(readSession);
  const [notice, setNotice] = useState("");

  useEffect(() => {
    if (!session) return;
    const renewSoon = async () => {
      try {
        setSession(await renew(path, session));
      } catch (error) {
        forget();
        setNotice(`Your session has ended, sign in again: ${(error as Error).message}`);
        setSession(null);
      }
    };
    const timer = setTimeout(renewSoon, Math.max(0, (session.expiresMs - Date.now()) * 0.9));
    return () => clearTimeout(timer);
  }, [session]);

  const leave = () => {
    if (!session) return;
    setSession(null);
    setNotice("");
    signOut(path, session).catch((error: Error) => setNotice(`Signed out here; the server did not confirm it: ${error.message}`));
  };
  return session ? <Floor session={session} leave={leave} /> : <SignIn key={notice} enter={setSession} notice={notice} />;
}

createRoot(root).render(
  <StrictMode>
    <Page />
  </StrictMode>,
);
