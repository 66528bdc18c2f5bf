// The scenarios in Node, and what only Node can do. `world.json` beside it says where the server and the images are.

import { mkdir, mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { env, stdout } from "node:process";
import { ApiError, Client, InvalidImage, NoImages, ServerUnreachable } from "headstart-client";
import { retries } from "./retries.js";
import { scenarios } from "./scenarios.js";
import { upkeep } from "./upkeep.js";
import { equal, type Labelled, outcomes, rejects, type World } from "./world.js";

const folder = new URL("../", import.meta.url);
const told = JSON.parse(await readFile(new URL("world.json", folder), "utf8"));
const { url, token } = told;
const path = (of: string) => new URL(of, folder).pathname;
const files = (images: [string, string][]) =>
  Promise.all(
    images.map(async ([label, of]): Promise<Labelled> => [label, new File([await readFile(path(of))], basename(of))]),
  );

const world: World = {
  url,
  client: new Client(url, { token }),
  support: await files(told.support),
  queries: await files(told.queries),
};

const ofNode = {
  "a folder becomes a task, and a path is an image": async ({ client }: World) => {
    const task = await client.createTask("folder", path("support"));
    equal(
      task.classes.map(({ label, examples }) => [label, examples]),
      [
        ["fish", 5],
        ["palace", 5],
        ["tool", 5],
        ["tower", 5],
        ["windmill", 5],
      ],
    );
    const image = path(told.queries[0][1]);
    const ofBuffer = await client.predict(task.id, await readFile(image));
    equal((await client.predict(task.id, image)).predictions, ofBuffer.predictions);
    const named = await client.createTask("paths", [
      ["a", image],
      ["b", path(told.support[0][1])],
    ]);
    for await (const { file_name } of client.examples(named.id)) equal(file_name?.endsWith(".png"), true);
    await rejects(
      client.predict(task.id, path("missing.jpg")),
      (error) => (error as { code?: string }).code === "ENOENT",
    );
  },

  "errors name the path": async ({ client, support }: World) => {
    const bad = join(await mkdtemp(join(tmpdir(), "headstart-")), "bad.jpg");
    await writeFile(bad, "no image");
    const isTold = (error: unknown) => error instanceof InvalidImage && error.detail.startsWith(`${bad}: the `);
    const task = await client.createTask("broken", support);
    await rejects(client.predict(task.id, bad), isTold);
    await rejects(client.addExamples(task.id, { a: bad }), isTold);
  },

  "a folder without images is told before anything is sent": async () => {
    const nobody = new Client("http://127.0.0.1:9");
    const empty = await mkdtemp(join(tmpdir(), "headstart-"));
    const isTold = (end: string) => (error: unknown) => error instanceof NoImages && error.message.endsWith(end);
    await rejects(nobody.createTask("empty", empty), isTold("with the images of that class inside"));
    await mkdir(join(empty, "palace"));
    await writeFile(join(empty, "palace", "notes.txt"), "");
    await writeFile(join(empty, "palace", ".hidden.png"), "");
    await rejects(nobody.createTask("empty", empty), isTold("palace holds no images"));
  },

  "the environment names the server and the key": async () => {
    Object.assign(env, { HEADSTART_URL: `${url}/`, HEADSTART_TOKEN: token });
    const [client, stranger] = [new Client(), new Client(undefined, { headers: { Authorization: "Bearer x" } })];
    delete env["HEADSTART_URL"];
    delete env["HEADSTART_TOKEN"];
    equal([client.url, (await client.key()).scope], [url, "manage"]);
    await rejects(stranger.key(), (error) => error instanceof ApiError && error.status === 401);
  },

  "nothing listens": async () => {
    const nobody = new Client("http://127.0.0.1:9");
    equal(await nobody.ready(), false);
    await rejects(
      nobody.task("t"),
      (error) => error instanceof ServerUnreachable && error.message.includes("http://127.0.0.1:9"),
    );
  },
};

const found = await Promise.all([
  outcomes({ ...scenarios, ...upkeep, ...ofNode }, world),
  ...Object.entries(retries).map(([name, test]) => outcomes({ [name]: async () => void (await test()) }, world)),
]);
stdout.write(JSON.stringify(Object.assign({}, ...found)));
