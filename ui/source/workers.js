// Monaco's workers, from this server only: no blob, no other host.
const FILES = { json: "json.worker.js", graphql: "graphql.worker.js" };

export function useLocalWorkers(staticPath) {
  globalThis.MonacoEnvironment = {
    getWorker: (_id, label) => new Worker(`${staticPath}/${FILES[label] ?? "editor.worker.js"}`, { name: label }),
  };
}
