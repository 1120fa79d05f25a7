// Encryption of what Temporal stores for us: AES-256-GCM, keys with ids, so that keys can change while old histories stay readable.

/*
 * A payload as Temporal has it (bytes and a few labels) becomes another one: its bytes are ciphertext, its labels tell how it
 * was made. Encoding and labels are those of Temporal's own examples, so that tools know them: encoding "binary/encrypted",
 * and under `data` the nonce, the ciphertext and the tag of the whole payload in Protobuf's format.
 *
 * What stays readable, by rule: a payload that is a bare JSON string. So are the summaries and details of workflows, timers
 * and activities, which operators must be able to read in lists, and ids. Whatever may be personal goes into an object.
 */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { z } from "zod";

/** Structurally @temporalio/common's Payload. */
export interface Payload {
  metadata?: Record<string, Uint8Array> | null;
  data?: Uint8Array | null;
}

/** Structurally @temporalio/common's SerializationContext: whose payload it is. */
interface Whose {
  readonly workflowId?: string;
}

/** Structurally @temporalio/common's PayloadCodec. */
export interface PayloadEncryption {
  encode(payloads: Payload[], whose?: Whose): Promise<Payload[]>;
  /** What is not encrypted stays as it is. Rejects when a key is not known, or the bytes were changed. */
  decode(payloads: Payload[]): Promise<Payload[]>;
}

interface Key {
  readonly id: string;
  readonly bytes: Buffer;
}

const keyBytes = 32;
const nonceBytes = 12;
const tagBytes = 16;
const cipherName = "aes-256-gcm";

export const encryptedEncoding = "binary/encrypted";
const keyIdLabel = "encryption-key-id";
const workflowIdLabel = "onsale-workflow-id";

/** "id:base64,id2:base64". Throws an Error that says what is wrong, and repeats no key. */
export function readEncryptionKeys(text: string): readonly [Key, ...Key[]] {
  const keys = text.split(",").map((part, at): Key => {
    const [, id = "", encoded = ""] = /^([^:]*):(.*)$/.exec(part.trim()) ?? [];
    if (!/^[A-Za-z0-9._-]{1,64}$/.test(id))
      throw new Error(
        `must be id:base64 for each key, with commas between; the id of key ${at + 1} must have 1 to 64 letters, digits, dots, dashes or underscores`,
      );
    const bytes = /^[A-Za-z0-9+/_-]+={0,2}$/.test(encoded) ? Buffer.from(encoded, "base64") : Buffer.alloc(0);
    if (bytes.length !== keyBytes)
      throw new Error(
        `key ${id} has ${bytes.length} bytes, but AES-256 needs exactly ${keyBytes}: make one with \`openssl rand -base64 32\``,
      );
    return { id, bytes };
  });
  const twice = keys.find(({ id }, at) => keys.findIndex((other) => other.id === id) !== at);
  if (twice)
    throw new Error(`key id ${twice.id} is there twice: each key needs an id of its own, and keeps it for ever`);
  return keys as [Key, ...Key[]];
}

export const payloadEncryptionSettings = {
  /** The first key encrypts, all of them decrypt. Unset: payloads are stored as they are. */
  PAYLOAD_ENCRYPTION_KEYS: z
    .string()
    .superRefine((text, context) => {
      try {
        readEncryptionKeys(text);
      } catch (error) {
        context.addIssue({ code: "custom", message: (error as Error).message });
      }
    })
    .optional(),
};

/** Undefined: no encryption. */
export function payloadEncryption(setting: string | undefined): PayloadEncryption | undefined {
  if (!setting) return undefined;
  const keys = readEncryptionKeys(setting);
  const [first] = keys;
  const byId = new Map(keys.map((key) => [key.id, key.bytes]));
  return {
    encode: async (payloads, whose) =>
      payloads.map((payload) => (isOpen(payload) ? payload : seal(payload, first, whose?.workflowId ?? ""))),
    decode: async (payloads) => payloads.map((payload) => (isEncrypted(payload) ? open(payload, byId) : payload)),
  };
}

export const isEncrypted = ({ metadata }: Payload): boolean => textOf(metadata?.["encoding"]) === encryptedEncoding;

/** Which workflow an encrypted payload belongs to, as whoever encrypted it has said; decrypting proves it. */
export const workflowOf = ({ metadata }: Payload): string | undefined =>
  textOf(metadata?.[workflowIdLabel]) || undefined;

/** A bare JSON string, or nothing at all. */
function isOpen({ metadata, data }: Payload): boolean {
  const encoding = textOf(metadata?.["encoding"]);
  return (
    encoding === encryptedEncoding || encoding === "binary/null" || (encoding === "json/plain" && data?.[0] === 0x22)
  );
}

function seal(payload: Payload, { id, bytes }: Key, workflowId: string): Payload {
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv(cipherName, bytes, nonce).setAAD(labelled(id, workflowId));
  const data = Buffer.concat([nonce, cipher.update(packed(payload)), cipher.final(), cipher.getAuthTag()]);
  return {
    metadata: {
      encoding: Buffer.from(encryptedEncoding),
      "encryption-cipher": Buffer.from(cipherName),
      [keyIdLabel]: Buffer.from(id),
      [workflowIdLabel]: Buffer.from(workflowId),
    },
    data,
  };
}

function open({ metadata, data }: Payload, keys: ReadonlyMap<string, Buffer>): Payload {
  const id = textOf(metadata?.[keyIdLabel]);
  const key = keys.get(id);
  if (!key)
    throw new Error(
      `A payload was encrypted with the key "${id.slice(0, 64)}", which is not among PAYLOAD_ENCRYPTION_KEYS: add it there, at the end.`,
    );
  const bytes = Buffer.from(data ?? []);
  const tooShort = bytes.length < nonceBytes + tagBytes;
  try {
    if (tooShort) throw new Error("too short");
    const decipher = createDecipheriv(cipherName, key, bytes.subarray(0, nonceBytes), { authTagLength: tagBytes });
    decipher.setAAD(labelled(id, textOf(metadata?.[workflowIdLabel]))).setAuthTag(bytes.subarray(-tagBytes));
    return unpacked(Buffer.concat([decipher.update(bytes.subarray(nonceBytes, -tagBytes)), decipher.final()]));
  } catch {
    throw new Error(
      `A payload can't be decrypted: it was changed, or the key "${id}" is another one here than where it was encrypted.`,
    );
  }
}

/** What is not secret, and must not be changed either. */
const labelled = (keyId: string, workflowId: string): Buffer => Buffer.from(JSON.stringify([keyId, workflowId]));

const textOf = (bytes: Uint8Array | undefined): string => (bytes === undefined ? "" : Buffer.from(bytes).toString());

// ---- temporal.api.common.v1.Payload in Protobuf: map<string, bytes> metadata = 1; bytes data = 2

/*
 * Written out, since the whole of Temporal's API would have to be loaded for these two fields. The format is
 * https://protobuf.dev/programming-guides/encoding/; both fields and the map's two are length-delimited.
 */
const field = (number: number, bytes: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from([(number << 3) | 2]), varint(bytes.length), bytes]);

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let left = value; ; left >>>= 7) {
    if (left < 0x80) return Buffer.from([...bytes, left]);
    bytes.push((left & 0x7f) | 0x80);
  }
}

function packed({ metadata, data }: Payload): Buffer {
  const labels = Object.entries(metadata ?? {}).map(([name, value]) =>
    field(1, Buffer.concat([field(1, Buffer.from(name)), field(2, value)])),
  );
  return Buffer.concat([...labels, ...(data ? [field(2, data)] : [])]);
}

function unpacked(bytes: Buffer): Payload {
  const labels = new Map<string, Uint8Array>();
  let data: Uint8Array = Buffer.alloc(0);
  for (const [number, value] of fieldsOf(bytes)) {
    if (number === 2) data = value;
    if (number !== 1) continue;
    const pair = new Map(fieldsOf(value));
    labels.set(textOf(pair.get(1)), pair.get(2) ?? Buffer.alloc(0));
  }
  // Whatever a label is called: as a property that is set, "__proto__" would be lost.
  return { metadata: Object.fromEntries(labels), data };
}

function fieldsOf(bytes: Buffer): [number: number, value: Buffer][] {
  const fields: [number, Buffer][] = [];
  for (let at = 0; at < bytes.length; ) {
    const number = (bytes[at++] as number) >> 3;
    let length = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++];
      if (byte === undefined || shift > 28) throw new Error("not a payload");
      length += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) break;
    }
    if (at + length > bytes.length) throw new Error("not a payload");
    fields.push([number, bytes.subarray(at, at + length)]);
    at += length;
  }
  return fields;
}
