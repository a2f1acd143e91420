// Bundles the pages into the folder given as the first argument. Plain esbuild: no script of any package is run.
import { execFileSync } from "node:child_process";
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { getIntrospectionQuery } from "graphql";
import { writeOperations } from "./operations.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const require = createRequire(import.meta.url);
const packageFile = (name, file) => join(dirname(require.resolve(`${name}/package.json`)), file);

// The maps are not shipped, so the last line that names one goes too.
const withoutMap = (script) => script.replace(/\n\/\/# sourceMappingURL=\S*\s*$/, "\n");

if (process.argv.length !== 3) throw new Error("usage: node build.mjs FOLDER");
const target = resolve(process.argv[2]);

const shared = {
  absWorkingDir: here,
  bundle: true,
  define: { "process.env.NODE_ENV": '"production"' },
  legalComments: "linked",
  logLevel: "warning",
  minify: true,
  outdir: target,
  target: ["es2022"],
};

// The dashboard loads its chart library when the rest is on the screen: it is a file of its own.
const chartsLater = {
  name: "charts-later",
  setup: ({ onResolve }) =>
    onResolve({ filter: /^lightweight-charts$/ }, ({ kind }) => (kind === "dynamic-import" ? { path: "./charts.js", external: true } : null)),
};

const operations = await writeOperations(join(here, "source", "dashboard"), join(here, "..", "schema", "schema.graphql"));
execFileSync(process.execPath, [packageFile("typescript", "bin/tsc"), "--project", here], { stdio: "inherit" });

await rm(target, { recursive: true, force: true });
await mkdir(target, { recursive: true });

await Promise.all([
  build({
    ...shared,
    entryPoints: { graphiql: "source/graphiql.jsx", swagger: "source/swagger.js", redoc: "source/redoc.js", door: "source/door.ts" },
    format: "esm",
    jsx: "automatic",
    loader: { ".ttf": "file", ".woff2": "file" },
    assetNames: "[name]",
  }),
  build({
    ...shared,
    entryPoints: { dashboard: "source/dashboard/main.tsx", charts: "lightweight-charts" },
    format: "esm",
    jsx: "automatic",
    plugins: [chartsLater],
  }),
  build({
    ...shared,
    entryPoints: {
      "editor.worker": "monaco-editor/esm/vs/editor/editor.worker.js",
      "json.worker": "monaco-editor/esm/vs/language/json/json.worker.js",
      "graphql.worker": "monaco-graphql/esm/graphql.worker.js",
    },
    format: "iife",
  }),
]);

// What these pages send, for servers that run trusted documents only. GraphiQL asks for the schema as its properties in
// graphiql.jsx say.
const introspection = getIntrospectionQuery({ inputValueDeprecation: true, schemaDescription: true });
await writeFile(join(target, "operations.json"), JSON.stringify([...operations, introspection]));

// Swagger UI and Redoc ship ready bundles: they are copied with their licences.
for (const [name, file, as] of [
  ["swagger-ui-dist", "swagger-ui-bundle.js.LICENSE.txt"],
  ["swagger-ui-dist", "swagger-ui.css"],
  ["swagger-ui-dist", "LICENSE", "swagger-ui.LICENSE.txt"],
  ["redoc", "bundles/redoc.standalone.js.LICENSE.txt", "redoc.standalone.js.LICENSE.txt"],
  ["redoc", "LICENSE", "redoc.LICENSE.txt"],
]) {
  await copyFile(packageFile(name, file), join(target, as ?? file));
}

// Redoc's foot shows a picture from its maker's host; the page may ask nobody else, so it becomes an empty one.
const logo = /https:\/\/cdn\.redoc\.ly\/redoc\/logo-mini\.svg/g;
const redoc = await readFile(packageFile("redoc", "bundles/redoc.standalone.js"), "utf8");
if (!logo.test(redoc)) throw new Error("redoc no longer names its logo: look again for requests to other hosts");
const empty = "data:image/svg+xml,%3Csvg xmlns=%22http://www.w3.org/2000/svg%22/%3E";
await writeFile(join(target, "redoc.standalone.js"), withoutMap(redoc.replace(logo, empty)));
const swagger = packageFile("swagger-ui-dist", "swagger-ui-bundle.js");
await writeFile(join(target, "swagger-ui-bundle.js"), withoutMap(await readFile(swagger, "utf8")));

// Beside each file its compressed form, which the server sends to whoever takes it.
for (const name of await readdir(target)) {
  if (!/\.(js|css|ttf)$/.test(name)) continue;
  const content = await readFile(join(target, name));
  await writeFile(join(target, `${name}.gz`), gzipSync(content, { level: 9 }));
}
