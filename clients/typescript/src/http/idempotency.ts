/** The parameter by which the server knows a POST that is sent again: it creates once, whatever is repeated. */
export interface IdempotencyKey {
  "idempotency-key": string;
}

/** A key that was never used before. */
export const idempotencyKey = (): IdempotencyKey => {
  // `crypto.randomUUID` is missing on pages that are not served by https.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return { "idempotency-key": Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("") };
};
