// The load generator's process: jobs come in over the channel to its parent, tallies go back. It measures nothing but itself.
import {
  type GrpcHolds,
  type RawHolds,
  type RestHolds,
  sendGrpcHolds,
  sendRawHolds,
  sendRestHolds,
} from "./hold-load.js";
import { type ReadersJob, readStream } from "./reader-load.js";
import { playSale, type SaleJob } from "./sale-load.js";

const kinds = {
  "raw holds": sendRawHolds,
  "gRPC holds": sendGrpcHolds,
  "REST holds": sendRestHolds,
  readers: readStream,
  sale: playSale,
} as const;

export type Job = RawHolds | GrpcHolds | RestHolds | ReadersJob | SaleJob;
type Work = (job: Job, tell: (news: unknown) => void) => Promise<unknown>;

process.on("disconnect", () => process.exit(0));
process.on("message", ({ id, job }: { id: number; job: Job }) => {
  const work = kinds[job.kind] as unknown as Work;
  work(job, (news) => process.send?.({ id, news })).then(
    (answer) => process.send?.({ id, answer }),
    (error: unknown) => process.send?.({ id, error: error instanceof Error ? error.stack : String(error) }),
  );
});
