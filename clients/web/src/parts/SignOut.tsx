// Forgets the key, where there is one.

import { key } from "../api/key";
import { signOut } from "../state/access";
import { texts } from "../texts";

export function SignOut() {
  if (!key.value) return null;
  return (
    <button type="button" class="plain" onClick={signOut}>
      {texts.signOut}
    </button>
  );
}
