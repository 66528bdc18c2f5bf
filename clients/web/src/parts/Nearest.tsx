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
        {nearest.map((each) => (
          <li key={each.example}>
            <Picture source={each.image && imageAddress(id, each.example)} alt={each.file_name ?? each.label} />
            <span>{each.label}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}
