// Makes the search attributes known to Temporal, so that operators can filter checkouts by event, account and status.
import type { OperatorService } from "@temporalio/client";
import { searchAttributes } from "./contract.js";

/** temporal.api.enums.v1.IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD; its package can't be imported by name from ESM. */
const keyword = 2;

/** Any number of times, by any number of workers at once. Throws when Temporal can't be asked, or a name has another type. */
export async function registerSearchAttributes(operator: OperatorService, namespace: string): Promise<void> {
  const missing = await missingAttributes(operator, namespace);
  if (missing.length === 0) return;
  try {
    await operator.addSearchAttributes({
      namespace,
      searchAttributes: Object.fromEntries(missing.map((name) => [name, keyword])),
    });
  } catch (error) {
    // Another worker may have been faster.
    if ((await missingAttributes(operator, namespace)).length > 0) throw error;
  }
}

async function missingAttributes(operator: OperatorService, namespace: string): Promise<string[]> {
  const { customAttributes } = await operator.listSearchAttributes({ namespace });
  return Object.values(searchAttributes).filter((name) => {
    const type = customAttributes?.[name];
    if (type !== undefined && type !== keyword)
      throw new Error(`Temporal knows the search attribute ${name} with another type than Keyword: remove it there.`);
    return type === undefined;
  });
}
