// The door of GraphiQL where it is not for everyone: a login, and then the page itself, which the server sends to whom it may.
import "./door.css";
import { forget, readSession, renew, type Session, signIn } from "./session";

const root = document.getElementById("root") as HTMLElement;
const path = root.dataset.graphql ?? "/graphql";

root.innerHTML = `<main>
  <h1>GraphiQL</h1>
  <form>
    <label>Mail <input name="mail" type="text" inputmode="email" autocomplete="username" required autofocus></label>
    <label>Password <input name="password" type="password" autocomplete="current-password" required></label>
    <label>Code, if you use a second factor <input name="totp" inputmode="numeric" autocomplete="one-time-code"></label>
    <button>Sign in</button>
    <p role="alert"></p>
  </form>
</main>`;
const form = root.querySelector("form") as HTMLFormElement;
const button = root.querySelector("button") as HTMLButtonElement;
const notice = root.querySelector("p") as HTMLParagraphElement;

const loaded = (link: HTMLLinkElement) =>
  new Promise((done, failed) => {
    link.onload = done;
    link.onerror = () => failed(new Error(`${link.href} could not be loaded`));
    document.head.append(link);
  });

// A browser opens an address without a token, so the page is asked for with one here, and put in the place of the door.
async function enter({ token }: Session): Promise<void> {
  const answer = await fetch(path, { headers: { Accept: "text/html", Authorization: `Bearer ${token}` } });
  if (!answer.ok) {
    const { errors } = (await answer.json()) as { errors: { message: string }[] };
    if (answer.status === 401) forget();
    throw new Error(errors[0]?.message ?? `the server answered ${answer.status}`);
  }
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const scripts = [...page.scripts].map(({ src }) => src);
  const ours = document.querySelectorAll("link[rel=stylesheet]");
  await Promise.all([...page.querySelectorAll<HTMLLinkElement>("link[rel=stylesheet]")].map(loaded));
  const inside = page.getElementById("root") as HTMLElement;
  inside.dataset.door = ""; // Whoever signs out is put out of the door.
  root.replaceWith(inside);
  for (const link of ours) link.remove();
  for (const script of scripts) await import(script);
}

async function attempt(session: () => Promise<Session> | Session): Promise<void> {
  button.disabled = true;
  notice.textContent = "";
  try {
    await enter(await session());
  } catch (error) {
    notice.textContent = (error as Error).message;
    button.disabled = false;
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const given = new FormData(form);
  const text = (name: string) => String(given.get(name));
  void attempt(() => signIn(path, text("mail"), text("password"), text("totp")));
});

const known = readSession();
if (known) void attempt(() => (known.expiresMs > Date.now() ? known : renew(path, known)));
