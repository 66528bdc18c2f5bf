// Pictures in, by folder, by basket or by camera.

import { computed } from "@preact/signals";
import { useId, useState } from "preact/hooks";
import type { Found } from "../images/dropped";
import { labelsOf, loose, named } from "../state/items";
import { add } from "../state/outbox";
import { chosen } from "../state/route";
import { several, task } from "../state/tasks";
import { Basket } from "../parts/Basket";
import { DropZone } from "../parts/DropZone";
import { FileButton } from "../parts/FileButton";
import { Status } from "../parts/Status";
import { TeachCamera } from "../parts/TeachCamera";
import { texts } from "../texts";

const labels = computed(() => {
  const known = [...(task.value?.classes.map((each) => each.label) ?? []), ...labelsOf(chosen.value)];
  const further = named.value.filter((each) => each.task === chosen.value).map((each) => each.label);
  return [...new Set([...known, ...further])];
});

const unnamed = computed(() => loose.value.filter((each) => each.task === chosen.value).map((each) => each.file));
const leaveLoose = () => (loose.value = loose.value.filter((each) => each.task !== chosen.value));

export function Teach() {
  if (!several.value) return <Baskets />;
  return (
    <>
      <Status />
      <p class="notice">{texts.taughtByApi}</p>
    </>
  );
}

function Baskets() {
  const [camera, setCamera] = useState<string | null>(null);
  const take = (found: Found[]) => {
    const labelled = found.flatMap(({ file, folder }) => (folder === null ? [] : [{ file, label: folder }]));
    const further = found.filter((each) => each.folder === null).map(({ file }) => ({ task: chosen.value, file }));
    loose.value = [...loose.value, ...further];
    if (labelled.length) void add(chosen.value, labelled);
  };
  return (
    <>
      <Status />
      <DropZone label={texts.dropFolders} class={labels.value.length ? "" : "large"} onFound={take}>
        <h2>{labels.value.length ? texts.dropFolders : texts.teachTitle}</h2>
        {!labels.value.length && <p>{texts.teachLead}</p>}
        <p class="quiet">
          {!labels.value.length && `${texts.dropFolders}. `}
          {texts.dropFoldersHint}
        </p>
        <div class="row">
          <FileButton class={labels.value.length ? "" : "main"} text={texts.chooseFolder} folder onFound={take} />
          <button type="button" onClick={() => setCamera(camera === null ? (labels.value[0] ?? "") : null)}>
            {camera === null ? texts.openCamera : texts.closeCamera}
          </button>
        </div>
      </DropZone>
      {unnamed.value.length > 0 && (
        <LabelForm
          text={texts.loose(unnamed.value.length)}
          button={texts.addThem}
          onLabel={(label) => {
            void add(chosen.value, unnamed.value.map((file) => ({ file, label })));
            leaveLoose();
          }}
          onCancel={leaveLoose}
        />
      )}
      {camera !== null && <TeachCamera labels={labels.value} label={camera} onLabel={setCamera} />}
      {!task.value && labelsOf(chosen.value).length === 1 && <p class="notice">{texts.oneClass}</p>}
      <div class="baskets">
        {labels.value.map((label) => (
          <Basket key={label} label={label} onCamera={() => setCamera(label)} />
        ))}
        {labels.value.length > 0 && <Basket label={null} onCamera={() => setCamera("")} />}
        <LabelForm
          text={texts.addClass}
          button={texts.addClass}
          onLabel={(label) => (named.value = [...named.value, { task: chosen.value, label }])}
        />
      </div>
    </>
  );
}

interface FormProperties {
  text: string;
  button: string;
  onLabel: (label: string) => void;
  onCancel?: () => void;
}

/** Asks for the name of a class. */
function LabelForm({ text, button, onLabel, onCancel }: FormProperties) {
  const [label, setLabel] = useState("");
  const known = useId();
  const send = (event: Event) => {
    event.preventDefault();
    if (!label.trim()) return;
    onLabel(label.trim());
    setLabel("");
  };
  return (
    <form class="card label-form" onSubmit={send}>
      <p>{text}</p>
      <div class="row">
        <input
          aria-label={texts.className}
          placeholder={texts.addClassHint}
          list={known}
          maxLength={128}
          value={label}
          onInput={(event) => setLabel(event.currentTarget.value)}
        />
        <button type="submit">{button}</button>
        {onCancel && (
          <button type="button" class="plain" onClick={onCancel}>
            {texts.cancel}
          </button>
        )}
      </div>
      <datalist id={known}>
        {labels.value.map((each) => (
          <option key={each} value={each} />
        ))}
      </datalist>
    </form>
  );
}
