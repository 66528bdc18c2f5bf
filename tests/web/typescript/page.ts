// The scenarios in a page. `world.json` beside it says where the server and the images are.

import { Client } from "headstart-client";
import { scenarios } from "./scenarios.js";
import { upkeep } from "./upkeep.js";
import { type Labelled, outcomes, rejects } from "./world.js";

interface Told {
  url: string;
  token: string;
  support: [label: string, path: string][];
  queries: [label: string, path: string][];
}

const files = (images: Told["support"]): Promise<Labelled[]> =>
  Promise.all(
    images.map(async ([label, path]): Promise<Labelled> => {
      const image = await (await fetch(path)).blob();
      return [label, new File([image], path.split("/").at(-1)!)];
    }),
  );

const told: Told = await (await fetch("world.json")).json();
const { url, token } = told;
const world = {
  url,
  client: new Client(url, { token }),
  support: await files(told.support),
  queries: await files(told.queries),
};

const ofBrowsers = {
  "a page cannot open a path": async () => {
    const isTold = (error: unknown) => error instanceof TypeError && error.message.startsWith("only Node can open a ");
    await rejects(world.client.predict("task_1", "photo.jpg"), isTold);
    await rejects(world.client.createTask("folder", "photos"), isTold);
  },
};

Object.assign(globalThis, { outcomes: await outcomes({ ...scenarios, ...upkeep, ...ofBrowsers }, world) });
