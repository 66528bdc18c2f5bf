// The page: its head, its tabs, and what is on its way to the server.

import { locked } from "./api/key";
import { mayWrite } from "./state/access";
import { failure } from "./state/failures";
import { chosen, go, tab } from "./state/route";
import { start, task, tasks } from "./state/tasks";
import { Ask } from "./tabs/Ask";
import { Improve } from "./tabs/Improve";
import { Teach } from "./tabs/Teach";
import { Trust } from "./tabs/Trust";
import { Use } from "./tabs/Use";
import { texts } from "./texts";
import { OnTheirWay } from "./parts/OnTheirWay";
import { SignIn } from "./parts/SignIn";
import { SignOut } from "./parts/SignOut";
import { TabBar } from "./parts/TabBar";
import { TaskMenu } from "./parts/TaskMenu";

const PANELS = { teach: Teach, ask: Ask, improve: Improve, trust: Trust, use: Use };

export function App() {
  return (
    <>
      <header>
        <div class="head">
          <h1>{texts.product}</h1>
          {!locked.value && <TaskMenu />}
          <SignOut />
        </div>
        {!locked.value && <TabBar />}
      </header>
      <main>
        {failure.value && (
          <div class="notice bad" role="alert">
            <p>{failure.value}</p>
            {tasks.value === null ? (
              <button type="button" onClick={start}>
                {texts.tryAgain}
              </button>
            ) : (
              <button type="button" onClick={() => (failure.value = null)}>
                {texts.dismiss}
              </button>
            )}
          </div>
        )}
        <OnTheirWay />
        {locked.value ? <SignIn /> : <Shown />}
      </main>
    </>
  );
}

function Shown() {
  const Panel = PANELS[tab.value];
  return (
    <div role="tabpanel" id="panel" aria-labelledby={`tab-${tab.value}`} tabIndex={-1} key={tab.value === "teach" ? tab.value : `${tab.value} ${chosen.value}`}>
      {tasks.value === null ? (
        <p class="quiet">{failure.value ? "" : texts.loading}</p>
      ) : !mayWrite.value && !["ask", "use"].includes(tab.value) ? (
        <MayOnlyAsk />
      ) : task.value || tab.value === "teach" ? (
        <Panel />
      ) : (
        <NoTask />
      )}
    </div>
  );
}

function MayOnlyAsk() {
  return (
    <div class="empty">
      <p>{texts.mayOnlyAsk}</p>
      <button type="button" class="main" onClick={() => go(chosen.value, "ask")}>
        {texts.goAsk}
      </button>
    </div>
  );
}

function NoTask() {
  return (
    <div class="empty">
      <p>{texts.needsTask}</p>
      <button type="button" class="main" onClick={() => go(null, "teach")}>
        {texts.goTeach}
      </button>
    </div>
  );
}
