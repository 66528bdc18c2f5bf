// The history of the task, with how good each version is and the way back to it.

import { useState } from "preact/hooks";
import type { VersionReply } from "../api/types";
import { activate } from "../state/changes";
import { several, versions } from "../state/tasks";
import { texts } from "../texts";

const SHOWN = 8;

export function Versions() {
  const [all, setAll] = useState(false);
  const known = versions.value ?? [];
  const shown = all ? known : known.slice(0, SHOWN);
  return (
    <section class="card section">
      <h2>{texts.versionsTitle}</h2>
      <p class="quiet">{texts.versionsLead}</p>
      <div class="scroll" tabIndex={0} role="region" aria-label={texts.versionsTitle}>
        <table>
          <thead>
            <tr>
              {[texts.version, texts.madeBy, texts.content(several.value), texts.right].map((each) => (
                <th scope="col" key={each}>
                  {each}
                </th>
              ))}
              <th scope="col" class="wide-only">
                {texts.when}
              </th>
              <td />
            </tr>
          </thead>
          <tbody>
            {shown.map((each) => (
              <Row key={each.version} version={each} />
            ))}
          </tbody>
        </table>
      </div>
      {known.length > shown.length && (
        <button type="button" onClick={() => setAll(true)}>
          {texts.more(known.length - shown.length)}
        </button>
      )}
    </section>
  );
}

function Row({ version }: { version: VersionReply }) {
  const pictures = version.classes.reduce((sum, each) => sum + each.examples, 0);
  return (
    <tr class={version.active ? "active" : ""}>
      <th scope="row">{version.version}</th>
      <td>{texts.changes[version.change] ?? version.change}</td>
      <td>{several.value ? version.classes.length : texts.contents(pictures, version.negatives)}</td>
      <td>{version.accuracy === null ? "–" : texts.percent(version.accuracy)}</td>
      <td class="wide-only">{new Date(version.created_at).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" })}</td>
      <td>
        {version.active ? (
          <strong>{texts.active}</strong>
        ) : (
          <button type="button" aria-label={texts.activateVersion(version.version)} onClick={() => activate(version.version)}>
            {texts.activate}
          </button>
        )}
      </td>
    </tr>
  );
}
