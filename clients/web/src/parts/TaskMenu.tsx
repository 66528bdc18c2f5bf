// The choice among the server's tasks, with renaming and deleting.

import { useState } from "preact/hooks";
import { deleteTask, rename } from "../state/changes";
import { go, tab } from "../state/route";
import { task, tasks } from "../state/tasks";
import { texts } from "../texts";

export function TaskMenu() {
  const [renaming, setRenaming] = useState<string | null>(null);
  const now = task.value;
  if (renaming !== null && now) {
    const save = async (event: Event) => {
      event.preventDefault();
      if (!renaming.trim() || (await rename(renaming.trim()))) setRenaming(null);
    };
    return (
      <form class="menu" onSubmit={save} onKeyDown={(event) => event.key === "Escape" && setRenaming(null)}>
        <input
          aria-label={texts.newNameLabel}
          value={renaming}
          maxLength={128}
          ref={(input) => input?.focus()}
          onInput={(event) => setRenaming(event.currentTarget.value)}
        />
        <button type="submit" class="main">
          {texts.save}
        </button>
        <button type="button" onClick={() => setRenaming(null)}>
          {texts.cancel}
        </button>
      </form>
    );
  }
  return (
    <div class="menu">
      <select
        aria-label={texts.chooseTask}
        value={now?.id ?? ""}
        onChange={(event) => go(event.currentTarget.value || null, event.currentTarget.value ? tab.value : "teach")}
      >
        <option value="">{texts.newTask}</option>
        {tasks.value?.map((each) => (
          <option key={each.id} value={each.id}>
            {each.name}
          </option>
        ))}
      </select>
      {now && (
        <>
          <button type="button" class="plain" onClick={() => setRenaming(now.name)}>
            {texts.rename}
          </button>
          <button type="button" class="plain" onClick={() => confirm(texts.confirmRemove(now.name)) && deleteTask()}>
            {texts.remove}
          </button>
        </>
      )}
    </div>
  );
}
