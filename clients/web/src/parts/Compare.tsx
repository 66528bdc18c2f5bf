// Other ways to learn from the same pictures, side by side.

import { useEffect, useState } from "preact/hooks";
import * as api from "../api/calls";
import type { ComparisonReply } from "../api/types";
import { attempt } from "../state/failures";
import { task } from "../state/tasks";
import { texts } from "../texts";

export function Compare() {
  const [found, setFound] = useState<ComparisonReply | null>(null);
  const [busy, setBusy] = useState(false);
  const now = task.value;
  useEffect(() => setFound(null), [now?.id, now?.version]);
  const compare = async () => {
    if (!now) return;
    setBusy(true);
    await attempt(async () => setFound(await api.compare(now.id)));
    setBusy(false);
  };
  return (
    <section class="card section">
      <h2>{texts.compareTitle}</h2>
      <p class="quiet">{texts.compareLead}</p>
      {found && <Table found={found} />}
      <div role="status">{found && <p>{found.advice}</p>}</div>
      <div>
        <button type="button" disabled={busy} onClick={compare}>
          {busy ? texts.comparing : texts.compare}
        </button>
      </div>
    </section>
  );
}

function Table({ found }: { found: ComparisonReply }) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={texts.compareTitle}>
      <table>
        <thead>
          <tr>
            <th scope="col">{texts.candidate}</th>
            <th scope="col">{texts.method}</th>
            <th scope="col">{texts.network}</th>
            <th scope="col">{texts.right}</th>
            <th scope="col">{texts.range95}</th>
          </tr>
        </thead>
        <tbody>
          {found.candidates.map((each, place) => (
            <tr key={place} class={place === found.best ? "active" : ""}>
              <th scope="row">{place}</th>
              {"error" in each ? (
                <>
                  <td>–</td>
                  <td>{each.backbone}</td>
                  <td colSpan={2}>{each.error.detail}</td>
                </>
              ) : (
                <>
                  <td>
                    {each.head.solver}
                    {each.current && ` (${texts.active})`}
                  </td>
                  <td>{each.backbone}</td>
                  <td>{each.accuracy === null ? "–" : texts.percent(each.accuracy)}</td>
                  <td>{each.interval ? texts.range(each.interval) : "–"}</td>
                </>
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
