// The client on a network that fails: what is sent again, how often, and what never.

import { ApiError, type Client, ProxyError, ServerUnreachable, UnexpectedReply } from "headstart-client";
import { type Answer, LOST, network, problem, type Sent } from "./scripted.js";
import { equal, rejects } from "./world.js";

const OURS = { "Content-Type": "application/problem+json" };
const BUSY = problem(503, "overloaded", { ...OURS, "Retry-After": "0" });
const BEHIND: Answer = { status: 502, body: "a proxy's own page" };
const TASK: Answer = { status: 200, body: { id: "task_1", invented_later: true } };
const PREDICTED: Answer = { status: 200, body: { predictions: [], timing_ms: {} } };
const DONE: Answer = { status: 204 };
const TRIES = 4;
const ONE = new Uint8Array([1]);
const PAIR = { a: ONE, b: ONE };

const CALLS: Record<string, (client: Client) => Promise<unknown>> = {
  create: (client) => client.createTask("n", PAIR),
  add: (client) => client.addExamples("task_1", PAIR),
  predict: (client) => client.predict("task_1", ONE),
  task: (client) => client.task("task_1"),
  activate: (client) => client.activate("task_1", 1),
  delete: (client) => client.delete("task_1"),
};
const ANSWERS: Record<string, Answer> = { predict: PREDICTED, delete: DONE };
const CREATE = new Set(["create", "add"]);

const ofTask = (client: Client) => client.task("task_1");
const fails = (call: (client: Client) => Promise<unknown>, fits: (error: unknown) => boolean) => (client: Client) =>
  rejects(call(client), fits);
const code = (expected: string) => (error: unknown) => error instanceof ApiError && error.code === expected;

/** A request without the boundary of its form, which is another each time. */
function request({ method, path, headers, body }: Sent): unknown {
  const boundary = headers["content-type"]?.split("boundary=")[1];
  return [method, path, headers["idempotency-key"], boundary ? body.replaceAll(boundary, "") : body];
}

export const retries: Record<string, () => Promise<unknown>> = {
  "a failed try is repeated as the same request": () =>
    Promise.all(
      Object.entries(CALLS).flatMap(([name, call]) =>
        [BUSY, problem(429, "overloaded"), BEHIND, LOST].map(async (failure) => {
          const [first, second, ...more] = await network([failure, ANSWERS[name] ?? TASK], call);
          equal([request(second!), more], [request(first!), []]);
          equal(first!.headers["idempotency-key"] !== undefined, CREATE.has(name));
        }),
      ),
    ),

  "what is sent without its broken images has a key of its own": async () => {
    const refusal = problem(422, "image_broken");
    const images = [{ position: 2, code: "image_broken", detail: "broken" }];
    const script = [{ ...refusal, body: { ...(refusal.body as object), images } }, TASK];
    const examples: [string, Uint8Array][] = [
      ["a", ONE],
      ["b", ONE],
      ["b", ONE],
    ];
    const sent = await network(script, (client) => client.createTask("n", examples, { broken: () => undefined }));
    equal(
      sent.map(({ body }) => body.split('name="images"').length - 1),
      [3, 2],
    );
    equal(new Set(sent.map(({ headers }) => headers["idempotency-key"])).size, 2);
  },

  "every creation has a key of its own": async () => {
    const sent = await network([TASK], async (client) => [
      await CALLS["create"]!(client),
      await CALLS["create"]!(client),
    ]);
    equal(new Set(sent.map(({ headers }) => headers["idempotency-key"])).size, 2);
  },

  "what an answer must know is sent with every later request": async () => {
    const changes = ["9", "10", "8", "none of ours"].map((told) => ({
      ...TASK,
      headers: { "Headstart-At-Least": told },
    }));
    const sent = await network([...changes, BUSY, TASK], async (client) => {
      for (const _ of changes) await CALLS["add"]!(client);
      await ofTask(client);
    });
    equal(
      sent.map(({ headers }) => headers["headstart-at-least"] ?? null),
      [null, "9", "10", "10", "10", "10"],
    );
  },

  "a token and other headers go with every request": async () => {
    const [sent] = await network([TASK], ofTask, { token: " hs_1 ", headers: { "X-Api-Key": "k" } });
    equal([sent!.headers.authorization, sent!.headers["x-api-key"]], ["Bearer hs_1", "k"]);
  },

  "the server says how long to wait, in seconds or as a date": async () => {
    const waited = async (moment: () => string) => {
      const answer: Answer = {
        ...problem(503, "storage_failed"),
        get headers() {
          return { ...OURS, "Retry-After": moment() };
        },
      };
      const [first, second] = await network([answer, TASK], ofTask);
      return second!.at - first!.at;
    };
    const date = () => new Date(Date.now() + 2000).toUTCString(); // in whole seconds
    const [none, ofSeconds, ofDate] = await Promise.all([waited(() => "0"), waited(() => "1"), waited(date)]);
    // Each is longer by a second, less what is random.
    equal([ofSeconds - none > 600, ofDate - none > 600], [true, true]);
  },

  "nobody waits an hour": async () => {
    const hour = problem(503, "backbone_unavailable", { ...OURS, "Retry-After": "3600" });
    const told = (error: unknown) => code("backbone_unavailable")(error) && (error as ApiError).retryAfter === 3600;
    equal((await network([hour], fails(ofTask, told))).length, 1);
  },

  "a refusal that stays is not repeated": async () => {
    const refusal = problem(503, "backbone_unavailable", OURS);
    equal((await network([refusal], fails(ofTask, code("backbone_unavailable")))).length, 1);
    const stored = problem(403, "stored_quota_exceeded", OURS);
    equal((await network([stored], fails(CALLS["create"]!, code("stored_quota_exceeded")))).length, 1);
  },

  "other refusals are never repeated": () =>
    Promise.all(
      [400, 401, 404, 409, 413, 415, 418, 422, 500].map(async (status) => {
        const sent = await network(
          [problem(status, "younger_than_this_client")],
          fails(ofTask, code("younger_than_this_client")),
        );
        equal(sent.length, 1);
      }),
    ),

  "tries are bounded": async () => {
    const quota = problem(429, "quota_exceeded", { ...OURS, "Retry-After": "0" });
    const calls = [
      network([BUSY], fails(ofTask, code("overloaded"))),
      network([quota], fails(ofTask, code("quota_exceeded"))),
      network(
        [LOST],
        fails(ofTask, (error) => error instanceof ServerUnreachable),
      ),
    ];
    equal(
      (await Promise.all(calls)).map((sent) => sent.length),
      [TRIES, TRIES, TRIES],
    );
  },

  "a deletion whose answer was lost is a deletion": async () => {
    const gone = problem(404, "task_not_found");
    const uncertain = [
      LOST,
      BEHIND,
      problem(503, "erasure_pending", { "Retry-After": "0" }),
      problem(503, "storage_failed", { "Retry-After": "0" }, "the change may have been stored"),
    ];
    await Promise.all(uncertain.map((failure) => network([failure, gone], CALLS["delete"]!)));
    await network([BUSY, gone], fails(CALLS["delete"]!, code("task_not_found")));
    const sent = await network([LOST, problem(404, "example_not_found"), TASK], async (client) => {
      equal((await client.removeExample("task_1", "example_1")).id, "task_1");
    });
    equal(
      sent.map(({ method }) => method),
      ["DELETE", "DELETE", "GET"],
    );
  },

  "an abort ends the wait for another try": async () => {
    const wait = problem(503, "overloaded", { ...OURS, "Retry-After": "50" });
    await network([wait], async (client, sent) => {
      const controller = new AbortController();
      const asked = client.task("task_1", { signal: controller.signal });
      while (!sent.length) await new Promise((turn) => setTimeout(turn, 5));
      const started = performance.now();
      setTimeout(() => controller.abort("enough"), 50);
      await rejects(asked, (reason) => reason === "enough");
      equal(performance.now() - started < 25_000, true);
    });
  },

  "another service is told apart": async () => {
    const others: Answer[] = [
      { status: 200, body: "<html>" },
      { status: 404, body: "<html>" },
      { status: 200, headers: { "Content-Length": "0" }, body: "" },
      { status: 302, headers: { Location: "http://127.0.0.1:9/" } },
    ];
    const told = (error: unknown) => error instanceof UnexpectedReply && !(error instanceof ProxyError);
    await Promise.all(others.map((other) => network([other], fails(ofTask, told))));
    const proxied = (error: unknown) =>
      error instanceof ProxyError && error.status === 413 && error.message.includes("(nginx)");
    await network([{ status: 413, body: "<html>", headers: { Server: "nginx" } }], fails(ofTask, proxied));
  },

  "limits are asked for once and only for several images": async () => {
    const limits: Answer = { status: 200, body: { body_bytes: 64_000_000, images: 256, new_examples: 1024 } };
    const sent = await network([PREDICTED, limits, PREDICTED], async (client) => {
      for (const images of [ONE, [ONE, ONE], [ONE, ONE]]) await client.predict("task_1", images);
    });
    equal(
      sent.map(({ path }) => path.includes("limits")),
      [false, true, false, false],
    );
  },

  "a server that is too old to tell its limits gets the usual requests": async () => {
    const sent = await network([problem(404, "not_found"), PREDICTED], (client) =>
      client.predict("task_1", Array(300).fill(ONE)),
    );
    equal(
      sent.map(({ body }) => body.split('name="images"').length - 1),
      [0, 256, 44],
    );
  },

  "requests are bounded in bytes, and an image above that goes alone": async () => {
    const limits: Answer = { status: 200, body: { body_bytes: 60_000, images: 256, new_examples: 1024 } };
    const [small, large] = [new Uint8Array(20_000), new Uint8Array(70_000)];
    const sent = await network([limits, PREDICTED], (client) =>
      client.predict("task_1", [small, small, small, large, small]),
    );
    equal(
      sent.slice(1).map(({ body }) => body.split('name="images"').length - 1),
      [2, 1, 1, 1],
    );
  },

  "more examples than a request takes are refused and nothing is sent": async () => {
    const limits: Answer = { status: 200, body: { body_bytes: 65_000_000, images: 256, new_examples: 1025 } };
    // Only the sizes are looked at.
    const large = () => Object.defineProperty(new File([ONE], "large.jpg"), "size", { value: 33_000_000 });
    for (const [examples, told] of [
      [{ a: Array<Uint8Array>(1026).fill(ONE) }, "1026 examples are more than the 1025 that"],
      [{ a: large(), b: large() }, "2 examples take 66.0 MB; the server takes 65.0 MB"],
    ] as const) {
      const isTold = (error: unknown) => error instanceof Error && error.message.startsWith(told);
      const sent = await network(
        [limits],
        fails((client) => client.createTask("n", examples), isTold),
      );
      equal(
        sent.map(({ path }) => path),
        ["/v1/limits"],
      );
    }
  },
};
