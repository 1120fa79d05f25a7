// A ticket's token: a compact JWS that a gate can verify offline, and the QR code that carries it.
import type { KeyRing } from "@onsale/kit/signing-keys";
import { CompactSign } from "jose";
import { toString as drawQr } from "qrcode";

export interface TicketClaims {
  readonly ticketId: string;
  readonly eventId: string;
  readonly seatId: string;
  readonly issuedAtMs: number;
}

export interface TokenSigner {
  /** Payload: iss, tid, eid, seat, iat (seconds). No personal data: a photo of a ticket tells nothing about its owner. */
  sign(claims: TicketClaims): Promise<string>;
}

export function createTokenSigner(keys: KeyRing, issuer: string): TokenSigner {
  return {
    async sign({ ticketId, eventId, seatId, issuedAtMs }) {
      const { kid, privateKey } = await keys.signingKey();
      const claims = { iss: issuer, tid: ticketId, eid: eventId, seat: seatId, iat: Math.floor(issuedAtMs / 1000) };
      return new CompactSign(Buffer.from(JSON.stringify(claims)))
        .setProtectedHeader({ alg: "EdDSA", kid })
        .sign(privateKey);
    },
  };
}

/** An SVG document. Error level M: a scratched screen or a folded print still scans. */
export function qrSvg(token: string): Promise<string> {
  return drawQr(token, { type: "svg", errorCorrectionLevel: "M", margin: 4 });
}
