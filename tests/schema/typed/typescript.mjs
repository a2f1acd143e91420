// Generates TypeScript of a schema and its operations, as graphql-codegen's presets do. Arguments: folder of the installed
// packages, schema, operations, folder to write `schema.ts` and `operations.ts` into.
import { createRequire } from "node:module";
import { readFileSync, writeFileSync } from "node:fs";

const [packages, schemaFile, operationsFile, out] = process.argv.slice(2);
const require = createRequire(`${packages}/package.json`);
const { codegen } = require("@graphql-codegen/core");
const { buildSchema, parse } = require("graphql");

const sdl = readFileSync(schemaFile, "utf8");
const documents = [{ location: operationsFile, document: parse(readFileSync(operationsFile, "utf8")) }];
const plugins = { schema: "@graphql-codegen/typescript", operations: "@graphql-codegen/typescript-operations" };
for (const [name, plugin] of Object.entries(plugins)) {
  const text = await codegen({
    schema: parse(sdl, { noLocation: true }),
    schemaAst: buildSchema(sdl),
    documents,
    filename: `${name}.ts`,
    plugins: [{ [name]: {} }],
    pluginMap: { [name]: require(plugin) },
    config: {
      strictScalars: true,
      scalars: { BigInt: "string", DateTime: "string", Decimal: "string", ID: "string", JSON: "unknown" },
    },
  });
  writeFileSync(`${out}/${name}.ts`, text);
}
