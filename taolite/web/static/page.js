// What the capture page knows, and how it is shown. The disk holds the state; the page keeps only what is chosen, and
// boxes that are not saved yet.

import { Refused } from "./api.js";
import { Editor } from "./editor.js";
import { byId, colourOf, make, showBoxes, showClasses, showKeys, showSets } from "./panel.js";

/** What the page knows. */
export const page = {
  data: null, // the server's state
  camera: null,
  live: false, // whether the camera shows
  mode: "camera", // or "pictures"
  set: "train",
  name: "", // the class
  frozen: null, // {frame, width, height}: a picture of the camera that boxes are drawn on
  opened: null, // a picture of the data set, as /api/labels gives it
  pictures: [],
  place: 0, // of the opened picture
  busy: null, // the action that runs, as a promise
  chooseSet: null, // functions, called with what is clicked
  chooseClass: null,
};

export const editor = new Editor(byId("boxes"), {
  name: () => page.name,
  colour: (one) => colourOf(names().indexOf(one)),
  changed: () => { if (page.data) showEditing(); },
});

export const names = () => page.data.classes.map((one) => one.name);
export const drawsBoxes = () => page.data.kind !== "folders";
export const isEditing = () => page.frozen !== null || page.opened !== null;
export const canChooseSet = () => page.data.sets.length > 0 && !(page.mode === "pictures" && page.data.kind === "labelme"); // there the folder says it
export const isDirty = () => isEditing() && (editor.isChanged || (page.opened !== null && page.opened.set !== page.set));
export const quality = () => Number(byId("quality").value);

// What is shown

export function show(state) {
  page.data = state;
  if (!names().includes(page.name)) page.name = names()[0] || "";
  byId("title").textContent = page.data.title || "taolite capture";
  byId("folder").textContent = page.data.folder;
  byId("folder").title = page.data.folder;
  document.title = `${page.data.title}: taolite capture`;
  const ready = page.data.classes.length > 0;
  byId("no-classes").hidden = ready;
  byId("classes").hidden = byId("add").hidden = !ready;
  byId("tabs").hidden = !drawsBoxes() || page.data.flat;
  byId("tab-camera").setAttribute("aria-pressed", String(page.mode === "camera"));
  byId("tab-pictures").setAttribute("aria-pressed", String(page.mode === "pictures"));
  byId("kind").value = page.data.kind;
  byId("kind-field").hidden = page.data.flat;
  byId("merge-field").hidden = page.data.kind !== "voc";
  byId("keep-field").hidden = !drawsBoxes() || page.mode !== "camera";
  byId("set-section").hidden = !canChooseSet();
  byId("browse").hidden = page.mode !== "pictures";
  byId("propose").hidden = !page.data.model || page.mode !== "pictures";
  showEditing();
  fit();
}

export function showEditing() {
  showSets(page.data.sets, { set: page.set, choose: (one) => page.chooseSet(one) });
  showClasses(page.data, { set: page.set, name: page.name, choose: (one) => page.chooseClass(one) });
  byId("found-section").hidden = !isEditing();
  byId("boxes").toggleAttribute("hidden", !isEditing());
  byId("discard-row").hidden = !page.frozen && !isDirty();
  if (isEditing()) showBoxes(editor, names());
  const take = byId("take");
  const [text, key] = page.frozen ? ["Save", "S"] : page.opened || page.mode === "pictures" ? ["Save", "S"] : drawsBoxes() ? ["Freeze the picture", "Space"] : ["Take a picture", "Space"];
  take.replaceChildren(`${text} `, make("kbd", { textContent: key }));
  take.disabled = !page.data.classes.length || (page.mode === "camera" ? !page.live && !page.frozen : !page.opened);
  const steps = isEditing() && editor.isChanged;
  byId("undo").disabled = !page.data.last && !steps;
  const last = steps ? "the last change of a box" : page.data.last || "Nothing saved yet";
  byId("last").textContent = last;
  byId("last").title = last;
  byId("badge").hidden = !page.frozen;
  showWhere();
  showKeys(keys());
}

function showWhere() {
  const picture = page.pictures[page.place]?.name;
  const state = !page.opened ? "" : isDirty() ? ", not saved" : page.opened.labelled ? "" : ", no labels yet";
  byId("where").textContent = picture ? `${page.place + 1} of ${page.pictures.length}: ${picture}${state}` : "";
}

function keys() {
  const rows = [];
  if (!drawsBoxes()) rows.push([["Space"], "take a picture"]);
  else if (page.mode === "camera") rows.push([["Space"], page.frozen ? "save and go on" : "freeze the picture"]);
  if (isEditing()) rows.push([["S"], "save"], [["Del"], "delete the chosen box"], [["Shift"], "draw inside another box"]);
  if (page.frozen) rows.push([["Esc"], "discard the frozen picture"]);
  if (page.opened) rows.push([["Esc"], "discard the changes"]);
  if (page.mode === "pictures") rows.push([["←", "→"], "save; previous, next picture"]);
  rows.push([["1 ... 9"], "choose the class"]);
  if (canChooseSet()) rows.push([["T", "V", "E"], "train, val, test"]);
  rows.push([["Z"], "undo"]);
  return rows;
}

export function fit() {
  const shown = page.frozen || page.opened || page.camera?.size;
  const view = byId("view");
  const area = byId("stage").getBoundingClientRect();
  if (!shown?.width || !area.width) return;
  const scale = Math.min(area.width / shown.width, area.height / shown.height);
  const [width, height] = [shown.width * scale, shown.height * scale];
  Object.assign(view.style, {
    width: `${width}px`, height: `${height}px`,
    left: `${(area.width - width) / 2}px`, top: `${(area.height - height) / 2}px`,
  });
  editor.draw();
}

export function say(text, bad = false) {
  const box = byId("message");
  box.firstElementChild.textContent = text;
  box.classList.toggle("bad", bad);
  box.hidden = false;
  clearTimeout(say.timer);
  if (!bad) say.timer = setTimeout(() => { box.hidden = true; }, 4000);
}

function hush() {
  if (byId("message").classList.contains("bad")) byId("message").hidden = true;
}

/** Run one action after the other; a refusal is shown, and nothing is lost. True where it went well. */
export async function act(work) {
  while (page.busy) await page.busy;
  let done;
  page.busy = new Promise((resolve) => { done = resolve; });
  try {
    const answer = await work();
    hush();
    if (answer?.state) page.data = answer.state;
    if (answer?.warning) say(answer.warning, true);
    return true;
  } catch (error) {
    if (!(error instanceof Refused)) console.error(error);
    say(error.message, true);
    return false;
  } finally {
    page.busy = null;
    done();
    if (page.data) show(page.data);
  }
}
