// Answers cases, one JSON object a line on standard input, with one line each:
//   {"resource": {…}, "filter": "…"}  →  {"match": true}
//   {"resource": {…}, "ops": […]}     →  {"resource": {…}}
// and with {"error": "…"} for what is refused.
import { createInterface } from "node:readline";
import scimPatch from "scim-patch";
import parseFilter from "scim2-parse-filter";

function answer({ resource, filter, ops }) {
  try {
    if (filter !== undefined) {
      return { match: parseFilter.filter(parseFilter.parse(filter))(resource) };
    }
    return { resource: scimPatch.scimPatch(resource, ops) };
  } catch (e) {
    return { error: `${e.name}: ${e.message}` };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(JSON.stringify(answer(JSON.parse(line))) + "\n");
}
