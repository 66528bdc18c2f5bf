// Code that asks a task, for copying.

export interface Snippet {
  name: string;
  code: string;
}

/**
 * Lines that print the label of a picture and its probability, or its labels where it may have several.
 *
 * @param hasKey whether the server asks for a key, which the code reads from the environment
 */
export function snippets(server: string, task: string, several: boolean, hasKey: boolean): Snippet[] {
  const address = `${server}/v1/tasks/${task}/predict`;
  return [
    { name: "curl", code: `curl -sS ${address}${hasKey ? ' -H "Authorization: Bearer $HEADSTART_TOKEN"' : ""} -F images=@photo.jpg` },
    {
      name: "Python",
      code: `${hasKey ? "import os\n\n" : ""}from headstart import Client

with Client("${server}"${hasKey ? ', token=os.environ["HEADSTART_TOKEN"]' : ""}) as client:
    for prediction in client.predict("${task}", ["photo.jpg"]).checked():
        if prediction.known:
            print(${several ? '", ".join(prediction.labels)' : "prediction.label, prediction.probability"})
        else:
            print("none of these")`,
    },
    {
      name: "JavaScript",
      code: `import { readFile } from "node:fs/promises";

const address = "${address}";
${hasKey ? 'const headers = { Authorization: `Bearer ${process.env.HEADSTART_TOKEN}` };\n' : ""}const form = new FormData();
form.append("images", new Blob([await readFile("photo.jpg")]), "photo.jpg");
const reply = await fetch(address, { method: "POST", body: form${hasKey ? ", headers" : ""} });
for (const { ${several ? "labels" : "label, probability"}, known } of (await reply.json()).predictions) {
  if (known) console.log(${several ? 'labels.join(", ")' : "label, probability"});
  else console.log("none of these");
}`,
    },
  ];
}
