// GraphiQL 5 for this server: every file is local, and the headers of a tab reach HTTP and the socket alike.
import { explorerPlugin } from "@graphiql/plugin-explorer";
import "@graphiql/plugin-explorer/style.css";
import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { GraphiQL, HISTORY_PLUGIN } from "graphiql";
import "graphiql/style.css";
import { Kind, parse } from "graphql";
import { StrictMode, useMemo, useState } from "react";
import { createRoot } from "react-dom/client";
import { FIRST_TABS } from "./examples.js";
import "./graphiql.css";
import { SessionContext, SessionHeaders, StartIcon, StartPanel } from "./panel.jsx";
import { readSession } from "./session";
import { useLocalWorkers } from "./workers.js";

const root = document.getElementById("root");
const { graphql: path, static: staticPath } = root.dataset;
useLocalWorkers(staticPath);

const socketUrl = new URL(path, window.location.href);
socketUrl.protocol = socketUrl.protocol === "https:" ? "wss:" : "ws:";

// A client for each set of headers is made by the fetcher, so a changed token opens a new socket.
const send = createGraphiQLFetcher({ url: path, subscriptionUrl: socketUrl.href });

// GraphiQL asks for the schema once before its editor of headers holds the session, and would keep that refusal on show.
function withSession(options) {
  const session = readSession();
  const names = Object.keys(options?.headers ?? {}).map((name) => name.toLowerCase());
  if (!session || names.includes("authorization")) return options;
  return { ...options, headers: { ...options?.headers, Authorization: `Bearer ${session.token}` } };
}

// GraphiQL finds out a moment after a change which operation its editor holds. Whoever opens a tab and runs it at once would
// send the name and the kind of the operation before; so both are taken from the text that is sent.
function fetcher(request, options) {
  if (request.operationName === "IntrospectionQuery") return send(request, withSession(options));
  let documentAST;
  try {
    documentAST = parse(request.query);
  } catch {
    return send(request, options); // The server says where the text is wrong.
  }
  const names = documentAST.definitions.filter(({ kind }) => kind === Kind.OPERATION_DEFINITION).map(({ name }) => name?.value);
  const operationName = names.includes(request.operationName) ? request.operationName : names[0];
  return send({ ...request, operationName }, { ...options, documentAST });
}

const START_PLUGIN = { title: "Start here", icon: StartIcon, content: StartPanel };
const PLUGINS = [START_PLUGIN, HISTORY_PLUGIN, explorerPlugin({ showAttribution: false })];

function Page() {
  const [session, setSession] = useState(readSession);
  const [notice, setNotice] = useState("");
  const shared = useMemo(() => ({ path, session, setSession, notice, setNotice }), [session, notice]);
  return (
    <SessionContext value={shared}>
      <GraphiQL
        fetcher={fetcher}
        plugins={PLUGINS}
        visiblePlugin={START_PLUGIN}
        defaultTabs={FIRST_TABS}
        defaultEditorToolsVisibility="headers"
        inputValueDeprecation
        schemaDescription
      >
        <GraphiQL.Logo>Fullon</GraphiQL.Logo>
        <GraphiQL.Toolbar>
          {({ prettify, copy, merge }) => (
            <>
              {prettify}
              {merge}
              {copy}
              <SessionHeaders />
            </>
          )}
        </GraphiQL.Toolbar>
      </GraphiQL>
    </SessionContext>
  );
}

createRoot(root).render(
  <StrictMode>
    <Page />
  </StrictMode>,
);
