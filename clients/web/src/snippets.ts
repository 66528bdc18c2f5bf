// Code that asks a task, for copying.

export interface Snippet {
  name: string;
  code: string;
}

/** Lines that print the label of a picture and its probability, or its labels where it may have several. */
export function snippets(server: string, task: string, several: boolean): Snippet[] {
  const address = `${server}/v1/tasks/${task}/predict`;
  return [
    { name: "curl", code: `curl -sS ${address} -F images=@photo.jpg` },
    {
      name: "Python",
      code: `from headstart import Client

with Client("${server}") as client:
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
const form = new FormData();
form.append("images", new Blob([await readFile("photo.jpg")]), "photo.jpg");
const reply = await fetch(address, { method: "POST", body: form });
for (const { ${several ? "labels" : "label, probability"}, known } of (await reply.json()).predictions) {
  if (known) console.log(${several ? 'labels.join(", ")' : "label, probability"});
  else console.log("none of these");
}`,
    },
  ];
}
