// Lines for other programs that ask this very task.

import { useState } from "preact/hooks";
import { archiveAddress } from "../api/calls";
import { file } from "../api/http";
import { key } from "../api/key";
import { mayWrite } from "../state/access";
import { attempt } from "../state/failures";
import { several, task } from "../state/tasks";
import { snippets } from "../snippets";
import { texts } from "../texts";

export function Use() {
  const now = task.value;
  if (!now) return null;
  const address = location.origin + location.pathname.replace(/\/$/, "");
  return (
    <>
      <div class="lead">
        <h2>{texts.useTitle}</h2>
        <p class="quiet">
          {texts.useLead(now.name)} {key.value && texts.tokenLead}
        </p>
      </div>
      {snippets(address, now.id, several.value, key.value !== null).map(({ name, code }) => (
        <Snippet key={name} name={name} code={code} />
      ))}
      {mayWrite.value && (
        <section class="card section">
          <h3>{texts.exportTitle}</h3>
          <p class="quiet">{texts.exportLead}</p>
          <p>
            {key.value ? (
              <Download address={archiveAddress(now.id)} name={`${now.id}.zip`} />
            ) : (
              <a href={archiveAddress(now.id)} download="">
                {texts.exportLink}
              </a>
            )}
          </p>
        </section>
      )}
      <p class="quiet">
        {texts.moreDocs}
        <a href="docs">{texts.reference}</a>
      </p>
    </>
  );
}

/** A link cannot send the key: the file is fetched with it, and then saved. */
function Download({ address, name }: { address: string; name: string }) {
  const [isUnderWay, setUnderWay] = useState(false);
  const save = async () => {
    setUnderWay(true);
    await attempt(async () => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(await file(address));
      link.download = name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // The browser may begin to read it later.
    });
    setUnderWay(false);
  };
  return (
    <button type="button" disabled={isUnderWay} onClick={save}>
      {isUnderWay ? texts.exporting : texts.exportLink}
    </button>
  );
}

function Snippet({ name, code }: { name: string; code: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await copyText(code);
    setCopied(true);
    setTimeout(() => setCopied(false), 2000);
  };
  return (
    <section class="card snippet" aria-label={name}>
      <div class="row between">
        <h3>{name}</h3>
        <button type="button" aria-label={texts.copyWhat(name)} onClick={copy}>
          {copied ? texts.copied : texts.copy}
        </button>
      </div>
      <pre tabIndex={0} aria-label={name}>
        <code>{code}</code>
      </pre>
    </section>
  );
}

/** Copies a text. Without https a browser has only the old way. */
async function copyText(text: string): Promise<void> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}
