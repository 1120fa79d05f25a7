// What both ends of a call agree on: the shape of a unary method as ts-proto defines it, the metadata's keys, the largest message.
export const codeKey = "onsale-code";
export const detailsKey = "onsale-details-bin";
export const secretKey = "onsale-secret";
export const requestIdKey = "onsale-request-id";
export const traceparentKey = "traceparent";
export const maxMessageBytes = 16 * 1024 * 1024;

interface Method<Request, Response> {
  path: string;
  requestStream: false;
  responseStream: false;
  requestSerialize(value: Request): Buffer;
  requestDeserialize(bytes: Buffer): Request;
  responseSerialize(value: Response): Buffer;
  responseDeserialize(bytes: Buffer): Response;
}
// biome-ignore lint/suspicious/noExplicitAny: a definition's methods differ in their messages; inference below restores each
export type AnyMethod = Method<any, any>;
export type Unary<Definition> = {
  [Name in keyof Definition]: Definition[Name] extends AnyMethod ? Name : never;
}[keyof Definition];
export type Asked<M> = M extends { requestSerialize(value: infer Request): Buffer } ? Request : never;
export type Answered<M> = M extends { responseDeserialize(bytes: Buffer): infer Response } ? Response : never;

export const rpcAttributes = (path: string) => ({ "rpc.system.name": "grpc", "rpc.method": path.slice(1) });
