// Writes `generated.ts`: the pages' operations as texts, each with the types of its answer and variables.
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { codegen } from "@graphql-codegen/core";
import * as operationTypes from "@graphql-codegen/typescript-operations";
import { buildSchema, parse, print, visit } from "graphql";

const SCALARS = { BigInt: "string", DateTime: "string", Decimal: "string", ID: "string", JSON: "unknown" };

const OPERATION = `
export interface Operation<Data, Variables> {
  readonly name: string;
  readonly text: string;
  readonly types?: (variables: Variables) => Data;
}
`;

const capital = (text) => text[0].toUpperCase() + text.slice(1);

// The fragments that a definition uses, those of its fragments too, in a fixed order.
function fragmentsOf(definition, all, found = new Set()) {
  visit(definition, {
    FragmentSpread({ name }) {
      if (found.has(name.value)) return;
      found.add(name.value);
      fragmentsOf(all.get(name.value), all, found);
    },
  });
  return found;
}

// Answers the texts as they are sent, by which a server that runs trusted documents only knows them.
export async function writeOperations(folder, schemaFile) {
  const document = parse(await readFile(join(folder, "operations.graphql"), "utf8"));
  const schema = parse(await readFile(schemaFile, "utf8"), { noLocation: true });
  const types = await codegen({
    schema,
    schemaAst: buildSchema(await readFile(schemaFile, "utf8")),
    documents: [{ location: "operations.graphql", document }],
    filename: "generated.ts",
    plugins: [{ operations: {} }],
    pluginMap: { operations: operationTypes },
    config: { scalars: SCALARS, skipTypename: true, immutableTypes: true, strictScalars: true, enumsAsTypes: true },
  });
  const fragments = new Map(document.definitions.filter(({ kind }) => kind === "FragmentDefinition").map((one) => [one.name.value, one]));
  const operations = document.definitions
    .filter(({ kind }) => kind === "OperationDefinition")
    .map((definition) => {
      const name = definition.name.value;
      const text = [definition, ...[...fragmentsOf(definition, fragments)].map((one) => fragments.get(one))].map(print).join("\n");
      const type = name + capital(definition.operation);
      const line = `export const ${name}: Operation<${type}, ${type}Variables> = { name: "${name}", text: ${JSON.stringify(text)} };`;
      return { text, line };
    });
  const made = operations.map(({ line }) => line);
  const lines = ["// Made by operations.mjs from operations.graphql and the printed schema.", types, OPERATION, ...made, ""];
  await writeFile(join(folder, "generated.ts"), lines.join("\n"));
  return operations.map(({ text }) => text);
}
