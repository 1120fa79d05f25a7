// Registers the search attributes by which operators find checkouts in the Temporal Web UI; doing it again changes nothing.
import type { TemporalConnection } from "@onsale/kit/temporal";
import { Connection } from "@temporalio/client";

const keyword = 2; // temporal.api.enums.v1.IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD

export async function registerSearchAttributes(
  to: TemporalConnection,
  names: readonly string[],
  namespace = "default",
): Promise<void> {
  const connection = await Connection.connect({ ...to, connectTimeout: 5_000 });
  const missing = async () => {
    const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
    return names.filter((name) => !Object.hasOwn(customAttributes ?? {}, name));
  };
  try {
    await connection.withDeadline(Date.now() + 20_000, async () => {
      const unknown = await missing();
      if (unknown.length === 0) return;
      try {
        await connection.operatorService.addSearchAttributes({
          namespace,
          searchAttributes: Object.fromEntries(unknown.map((name) => [name, keyword])),
        });
      } catch (error) {
        // Somebody else may have been faster.
        if ((await missing()).length > 0) throw error;
      }
    });
  } finally {
    await connection.close();
  }
}
