// The examples that an answer rests on.

import { imageAddress } from "../api/calls";
import type { Neighbour } from "../api/types";
import { chosen } from "../state/route";
import { texts } from "../texts";
import { Picture } from "./Picture";

export function Nearest({ nearest, known }: { nearest: Neighbour[]; known: boolean }) {
  const id = chosen.value ?? "";
  return (
    <div class="nearest">
      <p class="quiet">{known ? texts.because : texts.nearest}</p>
      <ul>
        {nearest.map((each) => {
          const shown = each.label ?? (each.labels?.join(", ") || texts.noneOfThese);
          return (
            <li key={each.example}>
              <Picture source={each.image && imageAddress(id, each.example)} alt={each.file_name ?? shown} />
              <span>{shown}</span>
            </li>
          );
        })}
      </ul>
    </div>
  );
}
