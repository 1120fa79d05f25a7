// cluster-key-slot brings no types of its own.
declare module "cluster-key-slot" {
  /** The slot of a key by the cluster's specification, 0 to 16383. */
  export default function calculateSlot(key: string): number;
}
