// Learning from images and recognising others, against a real server: the same in Node and in a browser.

import { ApiError, checked, Client, HeadstartError, InvalidImage, NoImages, UnreadableImages } from "headstart-client";
import { all, among, equal, refused, rejects, type Scenarios, sizes } from "./world.js";

/** Images that the server takes in one request. */
const MOST = 40;
const BROKEN = new TextEncoder().encode("this is no image");

export const scenarios: Scenarios = {
  "examples become a task in every form": async ({ client, support }) => {
    const pairs = await client.createTask("samples", support);
    equal([pairs.name, pairs.version, pairs.negatives], ["samples", 1, 0]);
    equal(Object.values(sizes(pairs)), [5, 5, 5, 5, 5]);
    among("fit", Object.keys(pairs.timing_ms));
    const byLabel = Object.fromEntries(
      Object.keys(sizes(pairs)).map((label) => [label, support.filter(([each]) => each === label)]),
    );
    const images = Object.fromEntries(
      Object.entries(byLabel).map(([label, some]) => [label, some.map(([, file]) => file)]),
    );
    const record = await client.createTask(null, images, { options: { solver: "prototype" } });
    equal([sizes(record), record.name, record.head.solver], [sizes(pairs), record.id, "prototype"]);
  },

  "predictions come in the order of the images": async ({ client, support, queries }) => {
    const task = await client.createTask("order", support);
    const files = queries.map(([, file]) => file);
    const forward = checked(await client.predict(task.id, files));
    const backward = checked(await client.predict(task.id, files.toReversed()));
    equal(
      forward.map(({ label }) => label),
      backward.map(({ label }) => label).toReversed(),
    );
    const right = forward.filter(({ label }, position) => label === queries[position]![0]).length;
    equal(right > files.length / 2, true); // Chance is a fifth.
    for (const { label, probability, scores } of forward) equal(Object.entries(scores)[0], [label, probability]);
  },

  "an image is a file, a blob or bytes": async ({ client, support, queries }) => {
    const task = await client.createTask("kinds", support);
    const file = queries[0]![1];
    const bytes = await file.arrayBuffer();
    const kinds = [file, new Blob([bytes]), bytes, new Uint8Array(bytes), new DataView(bytes)];
    const first = await client.predict(task.id, [file], { topK: 2 });
    for (const image of kinds)
      equal((await client.predict(task.id, image, { topK: 2 })).predictions, first.predictions);
    equal(Object.keys(checked(first)[0]!.scores).length, 2);
    const named = await client.createTask("named", [
      ["a", file],
      ["b", bytes],
    ]);
    equal(
      (await all(client.examples(named.id))).map(({ file_name }) => file_name),
      [file.name, null],
    );
  },

  "more images than one request takes keep their order": async ({ client, support, queries }) => {
    const task = await client.createTask("many", support);
    const files = queries.map(([, file]) => file);
    const labels = checked(await client.predict(task.id, files)).map(({ label }) => label);
    const done: number[] = [];
    const many = Array.from({ length: MOST + 4 }, (_, position) => files[position % files.length]!);
    const predictions = checked(await client.predict(task.id, many, { progress: (images) => done.push(images) }));
    equal(
      predictions.map(({ label }) => label),
      many.map((_, position) => labels[position % files.length]),
    );
    equal(done, [MOST, 4]);
  },

  "several tasks say what images show": async ({ client, support, queries }) => {
    const whole = await client.createTask("whole", support);
    const two = Object.keys(sizes(whole)).slice(0, 2);
    const part = await client.createTask(
      "part",
      support.filter(([label]) => two.includes(label)),
    );
    const files = queries.map(([, file]) => file);
    const { results } = await client.predictMany([part.id, whole.id], [BROKEN, ...files], { topK: 2 });
    equal(
      results.map((result) => result.task),
      [part.id, whole.id],
    );
    for (const [position, task] of [part, whole].entries()) {
      const result = results[position]!;
      if ("error" in result) throw new Error(result.error.detail);
      const [first, ...others] = result.predictions;
      equal("error" in first!, true);
      const alone = checked(await client.predict(task.id, files)).map(({ label }) => label);
      equal(
        checked({ predictions: others }).map(({ label }) => label),
        alone,
      );
    }
    equal((await client.predictMany("all", files[0]!)).results[0]!.task, part.id);
    await rejects(client.predictMany([whole.id, "task_of_nobody"], files[0]!), refused("task_not_found"));
  },

  "an unreadable image takes its place and has no label": async ({ client, support, queries }) => {
    const task = await client.createTask("unreadable", support);
    const file = queries[0]![1];
    // The last is alone in its request, where the server refuses it instead of answering in place.
    const images = [file, BROKEN, ...Array.from({ length: MOST - 2 }, () => file), BROKEN];
    const reply = await client.predict(task.id, images);
    const places = [...reply.predictions.entries()]
      .filter(([, result]) => "error" in result)
      .map(([position]) => position);
    equal(places, [1, MOST]);
    await rejects(
      (async () => checked(reply))(),
      (error) => error instanceof UnreadableImages && String([...error.details.keys()]) === `1,${MOST}`,
    );
    await rejects(
      client.predict(task.id, new File([BROKEN], "bad.jpg")),
      (error) =>
        error instanceof InvalidImage && error.code === "image_unsupported" && error.detail.startsWith("bad.jpg: "),
    );
    await rejects(client.predict(task.id, []), (error) => error instanceof NoImages);
  },

  "examples that cannot be read are an error, or left out and listed": async ({ client, support }) => {
    const bad = new File([BROKEN], "bad.jpg");
    const examples = [...support, ["fish", bad] as const];
    await rejects(
      client.createTask("bad", examples),
      (error) =>
        error instanceof InvalidImage && error.detail.startsWith("bad.jpg: ") && error.images[0]?.position === 25,
    );
    const listed: string[] = [];
    const task = await client.createTask("listed", examples, { broken: (name) => listed.push(name) });
    equal([listed, Object.values(sizes(task))], [["bad.jpg"], [5, 5, 5, 5, 5]]);
    await rejects(
      client.addExamples(task.id, [...support, ["poppy", BROKEN]], { broken: () => undefined }),
      (error) => error instanceof NoImages && error.message === "no image of poppy can be read",
    );
    equal((await client.task(task.id)).version, 1);
  },

  "images of none of the classes have no label": async ({ client, support, queries }) => {
    const task = await client.createTask("negatives", [[null, queries[0]![1]], ...support]);
    equal([task.negatives, Object.values(sizes(task))], [1, [5, 5, 5, 5, 5]]);
    const negatives = await all(client.examples(task.id, { negatives: true }));
    equal(
      negatives.map(({ label, file_name }) => [label, file_name]),
      [[null, queries[0]![1].name]],
    );
  },

  "an image may have several labels": async ({ client, support }) => {
    const [first, second, third, ...others] = support.map(([, file]) => file);
    const pairs = [
      ["red", first!],
      [["red", "green"], second!],
      [["green"], third!],
      [null, others[0]!],
    ] as const;
    const task = await client.createTask("several", [...pairs, ["green", first!]], { severalLabels: true });
    equal([task.labels, sizes(task), task.negatives], ["multiple", { red: 2, green: 3 }, 1]);
    const added = await client.addExamples(task.id, [[["blue", "red"], others[1]!]], { severalLabels: true });
    equal(sizes(added), { red: 3, green: 3, blue: 1 });
    const example = (await all(client.examples(task.id))).at(-1)!;
    equal(sizes(await client.relabelExample(task.id, example.id, ["blue"])), { red: 2, green: 3, blue: 1 });
    await rejects(client.createTask("single", pairs), (error) => error instanceof TypeError);
  },

  "a key is asked for": async ({ client, url }) => {
    equal([await client.ready(), (await client.key()).scope, await client.quotas()], [true, "manage", []]);
    const stranger = new Client(url, { token: "hs_nobody" });
    await rejects(stranger.key(), (error) => refused("unauthenticated")(error) && (error as ApiError).status === 401);
  },

  "a call that is aborted throws the reason of its signal": async ({ client, support }) => {
    const task = await client.createTask("aborted", support);
    await rejects(client.task(task.id, { signal: AbortSignal.abort("before") }), (reason) => reason === "before");
    const controller = new AbortController();
    const asked = client.predict(
      task.id,
      support.map(([, file]) => file),
      { signal: controller.signal },
    );
    controller.abort("meanwhile");
    await rejects(asked, (reason) => reason === "meanwhile");
  },

  "what is no image, example or address is told before anything is sent": async () => {
    const nobody = new Client("http://127.0.0.1:9");
    const told: [unknown, string][] = [
      [
        () => nobody.predict("task_1", 5 as never),
        "images: an image is a File, a Blob, bytes, or in Node a path, or several of these, not number",
      ],
      [
        () => nobody.predict("task_1", [BROKEN, null] as never),
        "images[1]: an image is a File, a Blob, bytes, or in Node a path, not null",
      ],
      [() => nobody.createTask("n", [["a"]] as never), "examples[0]: a [label, image] pair, not Array"],
      [() => nobody.createTask("n", [[1, BROKEN]] as never), "examples[0]: a label is text, not number"],
      [
        () => nobody.addExamples("task_1", 5 as never),
        "examples: images by label, or [label, image] pairs, not number",
      ],
      [
        () => new Client("localhost:8000"),
        'the server\'s address must look like http://127.0.0.1:8000, not "localhost:8000"',
      ],
      [() => new Client("http://", {}), 'the server\'s address must look like http://127.0.0.1:8000, not "http://"'],
      [
        () => new Client("http://me:secret@127.0.0.1"),
        "the server's address must hold no user and no password; send a header Authorization",
      ],
      [() => new Client("http://a", { token: "ä" }), "token: is empty or has characters that a header cannot have"],
      [
        () => new Client("http://a", { token: "t", headers: { authorization: "x" } }),
        "give only one of: a token, an Authorization header",
      ],
      [
        () => new Client("http://a", { headers: { x: "secret\n" } }),
        "headers: the name or the value of x has characters that a header cannot have",
      ],
    ];
    for (const [call, message] of told) {
      await rejects(
        (async () => (call as () => unknown)())(),
        (error) => error instanceof TypeError && error.message === message,
      );
    }
    equal(new ApiError(404, "c", "d", undefined, undefined) instanceof HeadstartError, true);
  },
};
