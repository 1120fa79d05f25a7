// Preloaded (node --import) into a gateway of the benchmark: its client of Temporal is replaced by one that starts nothing.
// What is measured are holds; what a workflow costs is shown apart, with the gateway as it is shipped.
import { register } from "node:module";

register("./without-temporal-resolve.js", import.meta.url);
