// Writes the types of the server's OpenAPI document, which comes on standard input, to the file that is named.
import { writeFile } from "node:fs/promises";
import { argv, stdin } from "node:process";
import { json } from "node:stream/consumers";
import openapiTS, { astToString } from "openapi-typescript";
import ts from "typescript";

const problem = {
  description: "A refusal",
  content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
};
const blob = ts.factory.createTypeReferenceNode("Blob");

const document = await json(stdin);
for (const operation of Object.values(document.paths).flatMap(Object.values)) {
  // Every refusal has the same body, whatever its status; listed one by one they would be two fifths of the file.
  const successes = Object.entries(operation.responses).filter(([status]) => status.startsWith("2"));
  operation.responses = { ...Object.fromEntries(successes), default: problem };
  // Which fields of a form go together is more than a type can say, and would make it `unknown`.
  delete operation.requestBody?.content["multipart/form-data"]?.schema.anyOf;
}
const nodes = await openapiTS(document, {
  defaultNonNullable: false, // What has a default may be left out of a request.
  transform: (schema) => (schema.format === "binary" ? blob : undefined),
});
await writeFile(
  argv[2],
  `// Made by \`make client-types\` from the server's OpenAPI document.\n\n${astToString(nodes)}`,
);
