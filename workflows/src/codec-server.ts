// The process of the codec server.
import { runProcess } from "@onsale/kit/process";
import { startCodec } from "./codec.js";
import { codecSettings } from "./config.js";

await runProcess("codec", codecSettings, startCodec);
