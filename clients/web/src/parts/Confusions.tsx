// Which classes are taken for which: a row for each class, a column for what its pictures were recognised as.

import type { Quality } from "../api/types";
import { texts } from "../texts";

const MOST = 25; // classes of a table that a person can still read

export function Confusions({ known }: { known: Quality }) {
  const labels = known.classes.filter((each) => each.judged > 0).map((each) => each.label);
  return (
    <section class="card section">
      <h2>{texts.confusion}</h2>
      {known.confusions.length === 0 ? (
        <p>{texts.noConfusion}</p>
      ) : labels.length > MOST ? (
        <ul>
          {known.confusions.slice(0, MOST).map((each) => (
            <li key={`${each.label} ${each.recognised_as}`}>
              {texts.takenFor(each.examples, each.label, each.recognised_as)}
            </li>
          ))}
        </ul>
      ) : (
        <Table known={known} labels={labels} />
      )}
    </section>
  );
}

function Table({ known, labels }: { known: Quality; labels: string[] }) {
  const columns = known.classes.map((each) => each.label);
  const counts = new Map(known.confusions.map((each) => [`${each.label} ${each.recognised_as}`, each.examples]));
  const classes = new Map(known.classes.map((each) => [each.label, each]));
  return (
    <>
      <p class="quiet">{texts.confusionLead}</p>
      <div class="scroll" tabIndex={0} role="region" aria-label={texts.confusion}>
        <table class="confusions">
          <thead>
            <tr>
              <th scope="col">{texts.confusionRow}</th>
              {columns.map((each) => (
                <th scope="col" key={each}>
                  {each}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {labels.map((row) => (
              <tr key={row}>
                <th scope="row">{row}</th>
                {columns.map((column) => {
                  const right = row === column;
                  const count = right ? classes.get(row)?.recognised : counts.get(`${row} ${column}`);
                  return (
                    <td key={column} class={count ? right ? "right" : "wrong" : "none"}>
                      {count || "·"}
                    </td>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}
