// A server that answers as a test says, for replies that a real server gives rarely.

import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { Client, type ClientOptions } from "headstart-client";

export interface Answer {
  status: number;
  body?: unknown;
  headers?: Record<string, string>;
}

export interface Sent {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
  /** In milliseconds. */
  at: number;
}

/** The request is read, and the connection closed without an answer. */
export const LOST = null;

export const problem = (
  status: number,
  code: string,
  headers: Record<string, string> = {},
  detail = "why",
): Answer => ({
  status,
  headers,
  body: { type: "about:blank", title: "", status, code, detail, request_id: "req_1" },
});

/** Calls with a client of a server that gives these answers, one after the other, and then the last for ever. */
export async function network(
  script: (Answer | null)[],
  call: (client: Client, sent: Sent[]) => Promise<unknown>,
  options: ClientOptions = {},
): Promise<Sent[]> {
  const sent: Sent[] = [];
  const server = createServer(async (request, response) => {
    const body = (await buffer(request)).toString("latin1");
    sent.push({ method: request.method!, path: request.url!, headers: request.headers, body, at: performance.now() });
    const answer = script[Math.min(sent.length, script.length) - 1];
    if (!answer) {
      request.socket.destroy();
      return;
    }
    response.writeHead(answer.status, { "Content-Type": "application/json", ...answer.headers });
    response.end(typeof answer.body === "string" ? answer.body : JSON.stringify(answer.body ?? ""));
  });
  server.keepAliveTimeout = 0; // A connection that it closed meanwhile would be one more lost try.
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  try {
    const { port } = server.address() as AddressInfo;
    await call(new Client(`http://127.0.0.1:${port}`, options), sent);
  } finally {
    server.closeAllConnections();
    server.close();
  }
  return sent;
}
