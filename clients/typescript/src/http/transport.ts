// Sends requests, repeats them where that is safe, and turns every response into a reply or an error of ours.

import createClient, { type Client as Api, type FetchResponse } from "openapi-fetch";
import { apiError, ServerUnreachable } from "../errors.js";
import type { paths } from "../openapi.js";
import { foreignReply } from "./foreign.js";

const TRIES = 4;
const FIRST_PAUSE = 200; // milliseconds
/** Seconds, after which a quota of a minute is whole again. A server that asks for a longer pause is not waited for. */
const LONGEST_PAUSE = 60;
const AT_LEAST = "Headstart-At-Least";
const PROBLEM = "application/problem+json";
const BUSY = new Set([429, 502, 503]);

// Codes of Node's. A browser tells none, and there a request that failed may always have been done.
const NEVER_SENT = new Set([
  "ECONNREFUSED",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "UND_ERR_CONNECT_TIMEOUT",
]);
/** A reply that is merely late: another try would add to the load that made it late. */
const LATE = new Set(["UND_ERR_BODY_TIMEOUT", "UND_ERR_HEADERS_TIMEOUT"]);

/** Options that every call has. */
export interface CallOptions {
  /** Aborts the call, which then throws the signal's reason. The server may have carried it out all the same. */
  signal?: AbortSignal | undefined;
}

/** What goes into the options of every try of a request, as openapi-fetch takes them. */
type Try = {
  headers: Record<string, string>;
  signal: AbortSignal | null;
  fetch: (request: Request) => Promise<Response>;
};

/** A reply as openapi-fetch types it: it forgets that an interval has two ends. */
type Fetched<Data> = FetchResponse<
  { responses: { 200: { content: { "application/json": Data } } } },
  object,
  "application/json"
>;

/** Makes a request, anew for every try. */
type Ask<Data> = (
  api: Api<paths>,
  each: Try,
) => Promise<{ data?: Fetched<NoInfer<Data>>["data"]; error?: unknown; response: Response }>;

/** What came of the last try, and whether an earlier one may have succeeded without a reply. */
interface Outcome {
  data: unknown;
  error: unknown;
  response: Response;
  asked: string;
  doneBefore: boolean;
}

/**
 * The connection to one server.
 *
 * Every request of this API may be sent twice. To read, remove, set, open or compare twice has the effect of once, and
 * a POST that creates carries an `Idempotency-Key`.
 *
 * Where several servers share a database, each answer knows at least of all changes that were made here before.
 */
export class Transport {
  readonly #api: Api<paths>;
  #atLeast = 0;

  constructor(
    readonly url: string,
    headers: Record<string, string>,
  ) {
    // A redirect is not followed: it would turn a POST into a GET.
    this.#api = createClient<paths>({ baseUrl: url, headers, redirect: "manual" });
  }

  /** The successful reply to a request. */
  async send<Data>(ask: Ask<Data>, { signal }: CallOptions = {}): Promise<Data> {
    return successful(await this.#exchange(ask, signal));
  }

  /** The successful reply to a DELETE; undefined if an earlier try removed the thing, but its reply was lost. */
  async delete<Data>(ask: Ask<Data>, { signal }: CallOptions = {}): Promise<Data | undefined> {
    const outcome = await this.#exchange(ask, signal);
    return outcome.doneBefore && outcome.response.status === 404 ? undefined : successful(outcome);
  }

  /** True if the server is there and ready; tries once. */
  async ready(signal: AbortSignal | undefined): Promise<boolean> {
    try {
      return (await this.#api.GET("/readyz", { signal: signal ?? null })).response.ok;
    } catch {
      signal?.throwIfAborted();
      return false;
    }
  }

  async #exchange<Data>(ask: Ask<Data>, signal: AbortSignal | undefined): Promise<Outcome> {
    let doneBefore = false;
    for (let attempt = 1; ; attempt += 1) {
      signal?.throwIfAborted();
      let pause = (0.5 + Math.random() / 2) * FIRST_PAUSE * 2 ** (attempt - 1);
      const outcome = await this.#try(ask, signal);
      if ("failure" in outcome) {
        const { code, message } = outcome.failure;
        if (LATE.has(code) || attempt === TRIES) throw new ServerUnreachable(`no answer from ${this.url}: ${message}`);
        doneBefore ||= !NEVER_SENT.has(code);
      } else {
        const { error, response } = outcome;
        const wait = retryAfter(response) ?? 0;
        if (!BUSY.has(response.status) || attempt === TRIES || wait > LONGEST_PAUSE || stays(response)) {
          return { ...outcome, doneBefore };
        }
        pause += 1000 * wait;
        doneBefore ||= mayBeDone(response.status, error);
      }
      await sleep(pause, signal);
    }
  }

  async #try<Data>(ask: Ask<Data>, signal: AbortSignal | undefined) {
    let asked: string | undefined;
    let answered: Response | undefined;
    const send = async (request: Request) => {
      asked = `${request.method} ${request.url}`;
      answered = await fetch(request);
      this.#remember(answered.headers.get(AT_LEAST));
      return answered;
    };
    const headers: Record<string, string> = this.#atLeast ? { [AT_LEAST]: String(this.#atLeast) } : {};
    try {
      const { data, error, response } = await ask(this.#api, { headers, signal: signal ?? null, fetch: send });
      return { data, error, response, asked: asked ?? this.url };
    } catch (error) {
      signal?.throwIfAborted();
      if (asked && answered && error instanceof SyntaxError) throw foreignReply(asked, answered); // no JSON
      if (asked && error instanceof TypeError) return { failure: networkFailure(error) };
      throw error;
    }
  }

  /** Takes what a change says that later answers must know, of whichever of several servers they are. */
  #remember(told: string | null): void {
    if (told !== null && /^\d+$/.test(told)) this.#atLeast = Math.max(this.#atLeast, Number(told));
  }
}

function successful<Data>({ data, error, response, asked }: Outcome): Data {
  if (response.ok && (data !== undefined || response.status === 204)) return data as Data;
  throw apiError(response.status, error, retryAfter(response)) ?? foreignReply(asked, response);
}

/** What `fetch` says where no reply came: Node's code and reason, or a browser's few words. */
function networkFailure(error: TypeError): { code: string; message: string } {
  const cause = error.cause as { code?: string; message?: string } | undefined;
  const hint =
    " (a browser says no more; it says so too where --allowed-origins of the server does not name this page's origin)";
  return {
    code: cause?.code ?? "",
    message: cause ? cause.message || cause.code || error.message : error.message + hint,
  };
}

/** True for a failure after which the request may have been done: a proxy lost the server's answer, the server lost its
 * database's, or what was removed is not yet out of its files. */
function mayBeDone(status: number, error: unknown): boolean {
  const said = typeof error === "string" ? error : JSON.stringify(error ?? "");
  return status === 502 || said.includes('"erasure_pending"') || said.includes("may have been stored");
}

/**
 * True for a Headstart server's refusal that waiting does not mend. Where waiting helps, it says `Retry-After`; a proxy
 * may leave that out.
 */
function stays(response: Response): boolean {
  return !response.headers.has("Retry-After") && !!response.headers.get("Content-Type")?.startsWith(PROBLEM);
}

/** The seconds of `Retry-After`, which may also hold a date (RFC 9110, section 10.2.3); undefined without it. */
function retryAfter(response: Response): number | undefined {
  const value = response.headers.get("Retry-After") ?? "";
  if (/^\d+$/.test(value)) return Number(value);
  const moment = Date.parse(value);
  return Number.isNaN(moment) ? undefined : Math.max(0, (moment - Date.now()) / 1000);
}

/** Waits for some milliseconds, or throws the signal's reason once it is aborted. */
function sleep(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", abort, { once: true });
  });
}
