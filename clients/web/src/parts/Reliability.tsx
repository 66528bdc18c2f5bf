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

const WORTH_A_WORD = 0.05; // a smaller difference between what it said and how often it was right is none
const CHANCE = 0.025; // the likelihood below which a difference is not put down to chance

/** On the whole, two standard deviations are not put down to chance; else each range is looked at. */
function verdict(bins: ReliabilityBin[], pictures: number): string {
  const said = sum(bins, (each) => each.examples * each.probability) / pictures;
  const right = sum(bins, (each) => each.examples * each.accuracy) / pictures;
  const chance = Math.sqrt((said * (1 - said)) / pictures);
  if (Math.abs(said - right) > Math.max(WORTH_A_WORD, 2 * chance)) {
    return said > right ? texts.tooSure(said, right) : texts.tooModest(said, right);
  }
  const off = bins.filter(isOff).map((each) => texts.offThere(each.probability, each.probability > each.accuracy));
  return off.length ? off.join(" ") : texts.asSaid;
}

/** Whether a range was right more often or less often than it says, by an exact binomial test. */
function isOff({ probability, accuracy, examples }: ReliabilityBin): boolean {
  const right = Math.round(accuracy * examples);
  const tail = accuracy < probability ? atMost(right, examples, probability) : atMost(examples - right, examples, 1 - probability);
  return Math.abs(probability - accuracy) > WORTH_A_WORD && tail < CHANCE;
}

/** How likely it is that so few of n trials succeed, or fewer, each with this probability. */
function atMost(successes: number, trials: number, probability: number): number {
  const each = Math.min(Math.max(probability, 1e-6), 1 - 1e-6);
  let log = trials * Math.log(1 - each); // Logarithms, since the first terms of many trials are too small for a number.
  let total = Math.exp(log);
  for (let count = 1; count <= successes; count++) {
    log += Math.log(((trials - count + 1) / count) * (each / (1 - each)));
    total += Math.exp(log);
  }
  return total;
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
