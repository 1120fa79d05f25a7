// A peer's process: a front before PostgreSQL, as its environment says; tells its port when it serves.
import { listenOn } from "@onsale/kit/lifecycle";
import { Pool } from "pg";
import { z } from "zod";
import { expressShop } from "./express-shop.js";
import { reserveForUpdate, reserveNothing, reserveUnique } from "./reserve.js";
import { sameFront } from "./same-front.js";

const settings = z
  .object({
    FRONT: z.enum(["express", "onsale"]),
    VARIANT: z.enum(["for update", "unique", "nothing"]),
    DATABASE_URL: z.string().min(1),
    REDIS_URL: z.string().min(1),
    JWKS: z.string().min(1),
    PORT: z.coerce.number(),
  })
  .parse(process.env);

const reserve = { "for update": reserveForUpdate, unique: reserveUnique, nothing: reserveNothing }[settings.VARIANT];
// As many connections as cores can use, with some to wait for the disk: more only wait for each other.
const pool = new Pool({ connectionString: settings.DATABASE_URL, max: 16, idleTimeoutMillis: 0 });
const shop = { pool, reserve, jwksJson: settings.JWKS };
const server = settings.FRONT === "express" ? expressShop(shop) : sameFront({ ...shop, redisUrl: settings.REDIS_URL });
server.keepAliveTimeout = 65_000;
await pool.query("SELECT 1");
await listenOn(server, "127.0.0.1", settings.PORT);
process.on("SIGTERM", () => process.exit(0));
