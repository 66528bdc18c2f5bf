// Code that asks a task, for copying.

export interface Snippet {
  name: string;
  code: string;
}

/** @param hasKey whether the server asks for a key, which the code reads from the environment */
export function snippets(server: string, task: string, hasKey: boolean): Snippet[] {
  const address = `${server}/v1/tasks/${task}/predict`;
  return [
    { name: "curl", code: `curl -sS ${address}${hasKey ? ' -H "Authorization: Bearer $HEADSTART_TOKEN"' : ""} -F images=@photo.jpg` },
    {
      name: "Python",
      code: `${hasKey ? "import os\n\n" : ""}from headstart import Client

with Client("${server}"${hasKey ? ', token=os.environ["HEADSTART_TOKEN"]' : ""}) as client:
    for prediction in client.predict("${task}", ["photo.jpg"]).checked():
        print(prediction.label if prediction.known else "none of these", prediction.probability)`,
    },
    {
      name: "JavaScript",
      code: `import { readFile } from "node:fs/promises";

const address = "${address}";
${hasKey ? 'const headers = { Authorization: `Bearer ${process.env.HEADSTART_TOKEN}` };\n' : ""}const form = new FormData();
form.append("images", new Blob([await readFile("photo.jpg")]), "photo.jpg");
const reply = await fetch(address, { method: "POST", body: form${hasKey ? ", headers" : ""} });
for (const { label, probability, known } of (await reply.json()).predictions) {
  console.log(known ? label : "none of these", probability);
}`,
    },
  ];
}
