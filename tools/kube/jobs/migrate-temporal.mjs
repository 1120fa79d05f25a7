// Job, in the worker's image: makes the Temporal namespace and the search attributes. Any number of times; what is there stays.
import { Connection } from "@temporalio/client";
import { temporalConnection, temporalConnectionProblem } from "../../../kit/dist/temporal.js";
import { registerSearchAttributes } from "../../../workflows/dist/search-attributes.js";

const {
  TEMPORAL_ADDRESS: address = "",
  TEMPORAL_NAMESPACE: namespace = "default",
  CREATE_NAMESPACE: mayCreate = "true",
  RETENTION_DAYS: retentionDays = "30",
} = process.env;
/** gRPC's codes of a server that is starting, or has not yet heard of a namespace that was just made. */
const passing = new Set([4, 5, 13, 14]);
const alreadyThere = 6;
const notFound = 5;

async function ensureNamespace(connection) {
  try {
    await connection.workflowService.describeNamespace({ namespace });
    return `namespace ${namespace} is there`;
  } catch (error) {
    if (error.code !== notFound) throw error;
  }
  if (mayCreate !== "true")
    throw new Error(
      `Temporal at ${address} has no namespace ${namespace}, and dependencies.temporal.createNamespace is false: make it there.`,
    );
  await connection.workflowService
    .registerNamespace({
      namespace,
      workflowExecutionRetentionPeriod: { seconds: Number(retentionDays) * 24 * 60 * 60 },
    })
    .catch((error) => {
      if (error.code !== alreadyThere) throw error;
    });
  return `namespace ${namespace} was made`;
}

const how = temporalConnection(process.env);

for (let attempt = 1; ; attempt++) {
  let connection;
  try {
    // Not waited for: only a call says why there is no connection.
    connection = Connection.lazy({ ...how, interceptors: [] });
    const done = await connection.withDeadline(Date.now() + 20_000, async () => {
      const said = await ensureNamespace(connection);
      await registerSearchAttributes(connection.operatorService, namespace);
      return said;
    });
    process.stdout.write(`${done}; the search attributes are there\n`);
    break;
  } catch (error) {
    const problem = temporalConnectionProblem(error);
    if (problem) throw new Error(problem, { cause: error });
    const mayPass = passing.has(error.code) || /connect/i.test(error.message);
    if (!mayPass || attempt >= 60) throw error;
    process.stdout.write(`Temporal at ${address} is not ready yet (${attempt}): ${error.message}\n`);
    await new Promise((resolve) => setTimeout(resolve, 2_000));
  } finally {
    await connection?.close();
  }
}
