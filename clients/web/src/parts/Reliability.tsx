// Whether it is right as often as it says, as a picture, as a table and in words.

import type { ReliabilityBin } from "../api/types";
import { texts } from "../texts";

const ENOUGH = 30; // pictures: at nine right in ten, the share is then known to about ten points

export function Reliability({ bins }: { bins: ReliabilityBin[] }) {
  const pictures = sum(bins, (each) => each.examples);
  const likeliest = [...bins].sort((one, other) => other.examples - one.examples)[0];
  if (!likeliest) return null;
  return (
    <section class="card section">
      <h2>{texts.reliability}</h2>
      {pictures < ENOUGH ? (
        <p>{texts.cannotTellYet(pictures, ENOUGH)}</p>
      ) : (
        <>
          <p>
            {texts.saidAndRight(likeliest)} {verdict(bins, pictures)}
          </p>
          <div class="reliability">
            <Diagram bins={bins} />
            <Table bins={bins} />
          </div>
        </>
      )}
    </section>
  );
}

const sum = (bins: ReliabilityBin[], of: (each: ReliabilityBin) => number) => bins.reduce((total, each) => total + of(each), 0);

/** Two standard deviations are not put down to chance, five points or less are not worth a word. */
function verdict(bins: ReliabilityBin[], pictures: number): string {
  const said = sum(bins, (each) => each.examples * each.probability) / pictures;
  const right = sum(bins, (each) => each.examples * each.accuracy) / pictures;
  const chance = Math.sqrt((said * (1 - said)) / pictures);
  if (Math.abs(said - right) <= Math.max(0.05, 2 * chance)) return texts.asSaid;
  return said > right ? texts.tooSure(said, right) : texts.tooModest(said, right);
}

/** A point for each range, the larger the more pictures. On the line it is right as often as it says. */
function Diagram({ bins }: { bins: ReliabilityBin[] }) {
  const most = Math.max(...bins.map((each) => each.examples));
  return (
    <svg class="diagram" viewBox="-48 -10 166 138" role="img" aria-label={texts.reliabilityDiagram}>
      <rect class="diagram-back" width="100" height="100" />
      <line class="diagram-line" x1="0" y1="100" x2="100" y2="0" />
      {bins.map((each) => (
        <circle
          key={each.lowest}
          class="diagram-point"
          cx={100 * each.probability}
          cy={100 - 100 * each.accuracy}
          r={3 + 5 * Math.sqrt(each.examples / most)}
        />
      ))}
      {[0, 50, 100].map((at) => (
        <g key={at}>
          <text x={at} y="111" text-anchor="middle">
            {texts.percent(at / 100)}
          </text>
          <text x="-4" y={103 - at} text-anchor="end">
            {texts.percent(at / 100)}
          </text>
        </g>
      ))}
      <text x="50" y="124" text-anchor="middle">
        {texts.itSaid}
      </text>
      <text transform="translate(-38 50) rotate(-90)" text-anchor="middle">
        {texts.wasRight}
      </text>
    </svg>
  );
}

function Table({ bins }: { bins: ReliabilityBin[] }) {
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">{texts.itSaid}</th>
          <th scope="col">{texts.wasRight}</th>
          <th scope="col">{texts.content(false)}</th>
        </tr>
      </thead>
      <tbody>
        {bins.map((each) => (
          <tr key={each.lowest}>
            <th scope="row">{texts.about(each.probability)}</th>
            <td>{texts.percent(each.accuracy)}</td>
            <td>{each.examples}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
