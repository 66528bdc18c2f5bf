// The form for a key, in place of the page's tabs.

import { useEffect, useRef, useState } from "preact/hooks";
import { locked } from "../api/key";
import { signIn } from "../state/access";
import { start } from "../state/tasks";
import { texts } from "../texts";

export function SignIn() {
  const [given, setGiven] = useState("");
  const [isKept, setKept] = useState(false);
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.focus(), []);
  const submit = (event: Event) => {
    event.preventDefault();
    signIn(given.trim(), isKept);
    setGiven("");
    if (!locked.value) void start();
  };
  return (
    <form class="card sign-in" aria-labelledby="sign-in" onSubmit={submit}>
      <h2 id="sign-in">{texts.keyTitle}</h2>
      <p class="quiet">{texts.keyLead}</p>
      {locked.value === "invalid" && (
        <p class="notice bad" role="alert">
          {texts.wrongKey}
        </p>
      )}
      <label>
        {texts.key}
        <input
          type="password"
          autocomplete="off"
          spellcheck={false}
          required
          value={given}
          ref={field}
          onInput={(event) => setGiven(event.currentTarget.value)}
        />
      </label>
      <label class="row">
        <input type="checkbox" checked={isKept} onChange={(event) => setKept(event.currentTarget.checked)} />
        {texts.keepKey}
      </label>
      <p class="quiet">{texts.keepKeyHint}</p>
      <button type="submit" class="main">
        {texts.signIn}
      </button>
    </form>
  );
}
