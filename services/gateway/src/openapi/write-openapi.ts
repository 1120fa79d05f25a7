// Writes openapi.json, the committed copy of the API's description. Run it by `npm run openapi -w @onsale/gateway`.
import { writeFileSync } from "node:fs";
import { describeApi } from "./describe-api.js";

const { document, close } = describeApi();
writeFileSync(new URL("../../openapi.json", import.meta.url), `${JSON.stringify(document, null, 2)}\n`);
await close();
