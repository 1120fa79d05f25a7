// Compensations: how to undo what was done, last in, first out, in a scope that nothing cancels.
import { CancellationScope } from "@temporalio/workflow";
import { insist } from "./running-steps.js";

export interface Compensations {
  /** Registered before the step that it undoes: a step may take effect without its answer arriving. The same name again changes nothing. */
  add(name: string, undo: () => Promise<void>): void;
  /** What is undone already. */
  forget(name: string): void;
  /** Returns only when all is undone, however long that takes. */
  run(onEach: (name: string, problem?: string) => void): Promise<void>;
}

export function createCompensations(): Compensations {
  let undos: readonly { readonly name: string; readonly undo: () => Promise<void> }[] = [];
  return {
    add(name, undo) {
      if (!undos.some((known) => known.name === name)) undos = [...undos, { name, undo }];
    },
    forget(name) {
      undos = undos.filter((known) => known.name !== name);
    },
    run: (onEach) =>
      CancellationScope.nonCancellable(async () => {
        for (const { name, undo } of undos.toReversed()) {
          onEach(name);
          await insist(undo, (problem) => onEach(name, problem));
        }
      }),
  };
}
