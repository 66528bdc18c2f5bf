// What becomes of a task after its creation, against a real server: the same in Node and in a browser.

import { ApiError, checked } from "headstart-client";
import { all, among, equal, refused, rejects, type Scenarios, sizes } from "./world.js";

export const upkeep: Scenarios = {
  "every change is a version and any version comes back": async ({ client, support, queries }) => {
    const task = await client.createTask("history", support);
    const added = await client.addExamples(task.id, { poppy: queries[0]![1] });
    equal([added.version, sizes(added)["poppy"]], [2, 1]);
    const poppy = (await all(client.examples(task.id))).find(({ label }) => label === "poppy")!;
    const removed = await client.removeExample(task.id, poppy.id);
    equal([removed.version, sizes(removed)["poppy"]], [3, undefined]);
    await rejects(client.removeExample(task.id, poppy.id), refused("example_not_found"));
    equal((await client.activate(task.id, 2)).version, 2);
    const versions = await client.versions(task.id);
    equal(
      versions.map(({ version, active }) => [version, active]),
      [
        [3, false],
        [2, true],
        [1, false],
      ],
    );
    await rejects(client.activate(task.id, 9), refused("version_not_found"));
    const relabelled = await client.relabelExample(task.id, poppy.id, "tower");
    equal([relabelled.version, sizes(relabelled)["tower"]], [4, 6]);
    const gone = (await all(client.examples(task.id))).findLast(({ label }) => label === "tower")!;
    await client.forgetExample(task.id, gone.id);
    equal(
      (await client.versions(task.id)).map(({ version }) => version),
      [5, 3, 1],
    );
  },

  "lists go on over their pages": async ({ client, support }) => {
    const examples = Array.from({ length: 5 }, () => support).flat();
    const task = await client.createTask("pages", examples);
    const found = await all(client.examples(task.id));
    equal(
      found.map(({ label }) => label),
      examples.map(([label]) => label),
    );
    among(
      task.id,
      (await all(client.tasks())).map(({ id }) => id),
    );
  },

  "what the server keeps comes back byte for byte": async ({ client, support }) => {
    const task = await client.createTask("kept", support);
    const example = (await all(client.examples(task.id)))[0]!;
    const image = await client.exampleImage(task.id, example.id);
    equal(new Uint8Array(await image.arrayBuffer()), new Uint8Array(await support[0]![1].arrayBuffer()));
    const again = await client.createFromArchive("again", await client.archive(task.id));
    equal([again.name, sizes(again)], ["again", sizes(task)]);
    equal((await client.classifier(task.id)).size > 1000, true);
  },

  "a task tells how good it is": async ({ client, support }) => {
    const task = await client.createTask("quality", support);
    const quality = await client.quality(task.id);
    equal([quality.version, quality.judged, quality.accuracy], [1, 25, task.quality?.accuracy]);
    const { candidates } = await client.compare(task.id, [{ options: { solver: "ridge" } }]);
    equal(
      candidates.map((each) => ("error" in each ? each.error.code : each.head.solver)),
      ["logistic", "ridge"],
    );
  },

  "captures are reviewed and decided about": async ({ client, support, queries }) => {
    const task = await client.createTask("captures", support);
    equal((await client.setCapture(task.id, { keep: "all", limit: 50 })).capture.limit, 50);
    const files = queries.slice(0, 5).map(([, file]) => file);
    const predictions = checked(await client.predict(task.id, files, { remember: true }));
    const ids = predictions.map((each) => ("prediction" in each ? each.prediction : ""));
    const page = await client.captures.list(task.id, { order: "newest", limit: 100 });
    equal(page.total, 5);
    const image = await client.captures.image(task.id, ids[0]!);
    equal(new Uint8Array(await image.arrayBuffer()), new Uint8Array(await files[0]!.arrayBuffer()));
    const labels = { [ids[0]!]: "new", [ids[1]!]: "new", [ids[2]!]: null };
    const changed = await client.captures.resolve(task.id, labels, { discard: [ids[3]!] });
    equal([changed.version, sizes(changed)["new"], changed.negatives], [2, 2, 1]);
    await rejects(client.captures.resolve(task.id, {}, { discard: [ids[3]!] }), refused("capture_not_found"));
    equal((await client.correct(task.id, ids[4]!, "other")).version, 3);
  },

  "events tell what happened": async ({ client, support }) => {
    const { next } = await client.events({ after: "latest" });
    const task = await client.createTask("events", support);
    await client.delete(task.id);
    const { events } = await client.events({ after: next, limit: 10 });
    equal(
      events.map(({ type, task }) => [type, task]),
      [
        ["version_created", task.id],
        ["task_deleted", task.id],
      ],
    );
  },

  "a task is renamed and deleted": async ({ client, support }) => {
    const task = await client.createTask("before", support);
    equal((await client.rename(task.id, "Füchse & Wale")).name, "Füchse & Wale");
    await client.delete(task.id);
    await rejects(
      client.task(task.id),
      (error) =>
        refused("task_not_found")(error) && (error as ApiError).status === 404 && !!(error as ApiError).requestId,
    );
    await rejects(client.delete(task.id), refused("task_not_found"));
  },

  "tasks move to a backbone": async ({ client, support }) => {
    const backbone = (await client.backbones.list()).find((each) => each.default)!;
    equal(
      [(await client.backbones.open(backbone.id)).id, (await client.backbones.makeDefault(backbone.id)).default],
      [backbone.id, true],
    );
    await rejects(client.backbones.close(backbone.id), refused("backbone_in_use"));
    const task = await client.createTask("moves", support);
    const refresh = await client.refreshes.start(backbone.id, [task.id]);
    while ((await client.refreshes.get(refresh.id)).state === "running")
      await new Promise((done) => setTimeout(done, 20));
    equal(
      (await all(client.refreshes.tasks(refresh.id))).map((each) => [each.task, each.outcome]),
      [[task.id, "unchanged"]],
    );
    among(
      refresh.id,
      (await all(client.refreshes.list())).map(({ id }) => id),
    );
    await rejects(client.refreshes.pause(refresh.id), refused("wrong_refresh_state"));
  },
};
