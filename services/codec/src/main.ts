// The codec process.
import { runProcess } from "@onsale/kit/process";
import { codecSettings } from "./config.js";
import { startCodec } from "./service.js";

await runProcess("codec", codecSettings, startCodec);
