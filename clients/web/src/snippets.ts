// Code that asks a task, for copying.

export interface Snippet {
  name: string;
  code: string;
}

export function snippets(server: string, task: string): Snippet[] {
  const address = `${server}/v1/tasks/${task}/predict`;
  return [
    { name: "curl", code: `curl -sS ${address} -F images=@photo.jpg` },
    {
      name: "Python",
      code: `from headstart import Client

with Client("${server}") as client:
    for prediction in client.predict("${task}", ["photo.jpg"]).checked():
        print(prediction.label if prediction.known else "none of these", prediction.probability)`,
    },
    {
      name: "JavaScript",
      code: `import { readFile } from "node:fs/promises";

const address = "${address}";
const form = new FormData();
form.append("images", new Blob([await readFile("photo.jpg")]), "photo.jpg");
const reply = await fetch(address, { method: "POST", body: form });
for (const { label, probability, known } of (await reply.json()).predictions) {
  console.log(known ? label : "none of these", probability);
}`,
    },
  ];
}
