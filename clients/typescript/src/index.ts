/**
 * Headstart's client for browsers and Node: a few labelled images in, a working classifier out.
 *
 *     const client = new Client("http://127.0.0.1:8000");
 *     const task = await client.createTask("birds", "photos/birds");
 *     const { predictions } = await client.predict(task.id, ["new/1.jpg", "new/2.jpg"]);
 */

export { checked } from "./checked.js";
export { Client } from "./client.js";
export * from "./errors.js";
export type { Examples, Label } from "./examples.js";
export type { CallOptions } from "./http/transport.js";
export type { Image } from "./images.js";
export type * from "./options.js";
export type * from "./replies.js";
