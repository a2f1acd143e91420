// The collecting services, for admins: state, heartbeat, feeds, and the buttons that change them.
import { Fragment, useCallback, useEffect, useState } from "react";
import type { Desk } from "./desk";
import { RestartService, type ServiceCellsFragment, Services, StartService, StopService, WatchServices } from "./generated";
import { ageSeconds, ageText, DASH } from "./numbers";
import { Panel, Problem } from "./panel";
import { clock, useStore } from "./store";

type Service = ServiceCellsFragment;

const READ_MS = 2_000;

// A feed's name may take another line after a colon, and nowhere else.
const breakable = (name: string) =>
  name.split(":").map((part, at) => (
    <Fragment key={at}>
      {at > 0 && (
        <>
          :<wbr />
        </>
      )}
      {part}
    </Fragment>
  ));

function ServiceCard({ service, act }: { service: Service; act: (verb: "start" | "stop" | "restart", service: Service) => void }) {
  const now = useStore(clock);
  const heartbeat = ageSeconds(service.heartbeatAt, now);
  const title = service.name.toLowerCase().replace("_", " ");
  return (
    <article data-service={service.name} data-state={service.state} aria-label={title}>
      <h3>
        {title} <span className={`badge state-${service.state.toLowerCase()}`}>{service.state.toLowerCase().replace("_", " ")}</span>
      </h3>
      <p>
        {heartbeat === null ? "No heartbeat yet" : `Heartbeat ${ageText(heartbeat)} ago`}, {service.restarts}{" "}
        {service.restarts === 1 ? "restart" : "restarts"}
      </p>
      {service.lastError && <p className="problem">{service.lastError}</p>}
      <div className="choice">
        {(["start", "stop", "restart"] as const).map((verb) => (
          <button key={verb} type="button" onClick={() => act(verb, service)} aria-label={`${verb} ${title}`}>
            {verb}
          </button>
        ))}
      </div>
      {service.feeds.length > 0 && (
        <div className="feeds" tabIndex={0} role="group" aria-label={`Feeds of ${title}`}>
          <table>
            <thead>
              <tr>
                <th scope="col">Feed</th>
                <th scope="col">Messages</th>
                <th scope="col">Last</th>
                <th scope="col">Lag</th>
                <th scope="col">Reconnects</th>
              </tr>
            </thead>
            <tbody>
              {service.feeds.map((feed) => {
                const age = ageSeconds(feed.lastMessageAt, now);
                return (
                  <tr key={feed.feed}>
                    <th scope="row">{breakable(feed.feed)}</th>
                    <td>{feed.messages}</td>
                    <td>{age === null ? DASH : ageText(age)}</td>
                    <td>{feed.lagMs == null ? DASH : `${Math.round(feed.lagMs)} ms`}</td>
                    <td className={feed.error ? "down" : ""}>{feed.error ?? feed.reconnects}</td>
                  </tr>
                );
              })}
            </tbody>
          </table>
        </div>
      )}
    </article>
  );
}

export function ServicesPanel({ desk }: { desk: Desk }) {
  const [services, setServices] = useState<ReadonlyMap<string, Service>>(new Map());
  const [problem, setProblem] = useState("");
  const keep = useCallback((changed: readonly Service[]) => {
    setServices((known) => new Map([...known, ...changed.map((service) => [service.name, service] as const)]));
  }, []);

  useEffect(() => desk.server.watch(WatchServices, {}, ({ services: event }) => keep([event.service]), setProblem), [desk, keep]);

  // Changes of state arrive by the stream; heartbeats and counts of messages change all the time and are read.
  useEffect(() => {
    let over = false;
    const read = () =>
      desk.server.ask(Services, {}).then(
        ({ services: all }) => !over && all && keep(all),
        () => {}, // The header tells that the server is away.
      );
    void read();
    const timer = setInterval(read, READ_MS);
    return () => {
      over = true;
      clearInterval(timer);
    };
  }, [desk, keep]);

  const act = async (verb: "start" | "stop" | "restart", { name }: Service) => {
    setProblem("");
    try {
      const payload =
        verb === "start"
          ? (await desk.server.ask(StartService, { name })).startService
          : verb === "stop"
            ? (await desk.server.ask(StopService, { name })).stopService
            : (await desk.server.ask(RestartService, { name })).restartService;
      if (payload.service) keep([payload.service]);
      setProblem(payload.userErrors[0]?.message ?? "");
    } catch (error) {
      setProblem((error as Error).message);
    }
  };

  return (
    <Panel title="Services" name="services">
      <Problem text={problem} />
      <div className="cards">
        {[...services.values()].map((service) => (
          <ServiceCard key={service.name} service={service} act={act} />
        ))}
      </div>
    </Panel>
  );
}
