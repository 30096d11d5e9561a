// The capture page: one camera or one picture on the left, the data set on the right. The disk holds the state; the page
// keeps only what is chosen, and boxes that are not saved yet.

import { Refused, address, get, post } from "./api.js";
import { BrowserCamera, ServerCamera } from "./camera.js";
import { Editor } from "./editor.js";
import { byId, colourOf, make, showBoxes, showClasses, showKeys, showSets } from "./panel.js";

history.replaceState(null, "", location.pathname); // the token is in a cookie now

let data = null; // the server's state
let camera = null;
let mode = "camera"; // or "pictures"
let set = "train";
let name = "";
let frozen = null; // {frame, width, height}: a picture of the camera that boxes are drawn on
let opened = null; // a picture of the data set, as /api/labels gives it
let pictures = [];
let place = 0;
let busy = null; // the action that runs, as a promise
let live = false;

const editor = new Editor(byId("boxes"), {
  name: () => name,
  colour: (one) => colourOf(names().indexOf(one)),
  changed: () => { if (data) showEditing(); },
});

const names = () => data.classes.map((one) => one.name);
const drawsBoxes = () => data.kind !== "folders";
const isEditing = () => frozen !== null || opened !== null;
const canChooseSet = () => data.sets.length > 0 && !(mode === "pictures" && data.kind === "labelme"); // there the folder says it
const isDirty = () => isEditing() && (editor.isChanged || (opened !== null && opened.set !== set));
const quality = () => Number(byId("quality").value);

// What is shown

function show(state) {
  data = state;
  if (!names().includes(name)) name = names()[0] || "";
  byId("title").textContent = data.title || "taolite capture";
  byId("folder").textContent = data.folder;
  byId("folder").title = data.folder;
  document.title = `${data.title}: taolite capture`;
  const ready = data.classes.length > 0;
  byId("no-classes").hidden = ready;
  byId("classes").hidden = byId("add").hidden = !ready;
  byId("tabs").hidden = !drawsBoxes() || data.flat;
  byId("tab-camera").setAttribute("aria-pressed", String(mode === "camera"));
  byId("tab-pictures").setAttribute("aria-pressed", String(mode === "pictures"));
  byId("kind").value = data.kind;
  byId("kind-field").hidden = data.flat;
  byId("merge-field").hidden = data.kind !== "voc";
  byId("keep-field").hidden = !drawsBoxes() || mode !== "camera";
  byId("set-section").hidden = !canChooseSet();
  byId("browse").hidden = mode !== "pictures";
  byId("propose").hidden = !data.model || mode !== "pictures";
  showEditing();
  fit();
}

function showEditing() {
  showSets(data.sets, { set, choose: chooseSet });
  showClasses(data, { set, name, choose: chooseClass });
  byId("found-section").hidden = !isEditing();
  byId("boxes").toggleAttribute("hidden", !isEditing());
  byId("frozen-row").hidden = frozen === null;
  if (isEditing()) showBoxes(editor, names());
  const take = byId("take");
  const [text, key] = frozen ? ["Save", "S"] : opened || mode === "pictures" ? ["Save", "S"] : drawsBoxes() ? ["Freeze the picture", "Space"] : ["Take a picture", "Space"];
  take.replaceChildren(`${text} `, make("kbd", { textContent: key }));
  take.disabled = !data.classes.length || (mode === "camera" ? !live && !frozen : !opened);
  const steps = isEditing() && editor.isChanged;
  byId("undo").disabled = !data.last && !steps;
  const last = steps ? "the last change of a box" : data.last || "Nothing saved yet";
  byId("last").textContent = last;
  byId("last").title = last;
  byId("badge").hidden = !frozen;
  showWhere();
  showKeys(keys());
}

function showWhere() {
  const picture = pictures[place]?.name;
  const state = !opened ? "" : isDirty() ? ", not saved" : opened.labelled ? "" : ", no labels yet";
  byId("where").textContent = picture ? `${place + 1} of ${pictures.length}: ${picture}${state}` : "";
}

function keys() {
  const rows = [];
  if (!drawsBoxes()) rows.push([["Space"], "take a picture"]);
  else if (mode === "camera") rows.push([["Space"], frozen ? "save and go on" : "freeze the picture"]);
  if (isEditing()) rows.push([["S"], "save"], [["Del"], "delete the chosen box"], [["Shift"], "draw inside another box"]);
  if (frozen) rows.push([["Esc"], "discard the frozen picture"]);
  if (mode === "pictures") rows.push([["←", "→"], "save; previous, next picture"]);
  rows.push([["1 ... 9"], "choose the class"]);
  if (canChooseSet()) rows.push([["T", "V", "E"], "train, val, test"]);
  rows.push([["Z"], "undo"]);
  return rows;
}

function fit() {
  const shown = frozen || opened || camera?.size;
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

function say(text, bad = false) {
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
async function act(work) {
  while (busy) await busy;
  let done;
  busy = new Promise((resolve) => { done = resolve; });
  try {
    const answer = await work();
    hush();
    if (answer?.state) data = answer.state;
    if (answer?.warning) say(answer.warning, true);
    return true;
  } catch (error) {
    if (!(error instanceof Refused)) console.error(error);
    say(error.message, true);
    return false;
  } finally {
    busy = null;
    done();
    if (data) show(data);
  }
}

// The camera

function waiting(text, again) {
  live = false;
  byId("wait").hidden = false;
  byId("wait-text").textContent = text;
  byId("again").hidden = !again;
  for (const id of ["video", "live"]) byId(id).hidden = true;
  if (data) showEditing();
}

async function openCamera(device) {
  waiting("Opening the camera ...", false);
  try {
    await camera.open(device);
  } catch (error) {
    if (mode === "camera" && !frozen) waiting(error.message, true);
    return;
  }
  live = true;
  if (mode !== "camera") return camera.pause();
  byId("wait").hidden = true;
  camera.element.hidden = frozen !== null;
  fit();
  showEditing();
  await showDevices();
}

async function showDevices() {
  if (!(camera instanceof BrowserCamera)) return;
  const devices = await camera.devices();
  byId("devices").hidden = devices.length < 2;
  byId("devices").replaceChildren(
    ...devices.map((one) => make("option", { value: one.id, textContent: one.name, selected: one.id === camera.device })),
  );
}

function makeCamera() {
  const lost = (text) => { if (frozen) say(text, true); else if (mode === "camera") waiting(text, true); live = false; };
  camera = data.camera
    ? new ServerCamera(byId("live"), { lost, sized: fit })
    : new BrowserCamera(byId("video"), { lost });
  byId("video").addEventListener("resize", fit);
}

// Taking, freezing, saving

async function take() {
  const done = await act(async () => {
    const body = await camera.grab(quality());
    return post("/api/shots", { asked: { set, class: name, quality: quality() }, body });
  });
  if (done) flash();
}

function flash() {
  const light = byId("flash");
  light.classList.remove("on");
  void light.getBoundingClientRect(); // starts the animation again
  light.classList.add("on");
}

async function freeze() {
  if (busy) return;
  const kept = byId("keep").checked ? freeze.boxes || [] : [];
  await act(async () => {
    const body = await camera.grab(quality());
    const answer = await post("/api/frames", { asked: { quality: quality() }, body });
    frozen = { frame: answer.frame, width: answer.width, height: answer.height };
    await showStill(body ? URL.createObjectURL(body) : `/api/frames/${answer.frame}`);
    camera.pause();
    editor.load(answer.width, answer.height, answer.boxes.length ? answer.boxes : kept);
    if (answer.boxes.length) say(`The model proposes ${answer.boxes.length} ${answer.boxes.length === 1 ? "box" : "boxes"}: correct them, then save.`);
    return answer;
  });
}

async function showStill(url) {
  const still = byId("still");
  await new Promise((done, fail) => {
    still.onload = done;
    still.onerror = () => fail(new Refused("The picture cannot be shown."));
    still.src = url;
  });
  still.hidden = false;
  camera.element.hidden = true;
  byId("wait").hidden = true;
  if (frozen || opened) fit();
}

function unfreeze() {
  frozen = null;
  clearStill();
  if (!live) openCamera();
  else {
    camera.element.hidden = false;
    camera.resume();
    fit();
  }
}

function clearStill() {
  const still = byId("still");
  if (still.src.startsWith("blob:")) URL.revokeObjectURL(still.src);
  still.onload = still.onerror = null;
  still.removeAttribute("src");
  still.hidden = true;
}

const drawn = () => editor.boxes.map(({ name: one, box, was }) => ({ name: one, box, was: was ?? null }));

async function save() {
  if (busy) return false;
  if (frozen) {
    const done = await act(() => post("/api/labels", { json: { frame: frozen.frame, set: set || "train", merge: byId("merge").checked, boxes: drawn() } }));
    if (!done) return false;
    freeze.boxes = drawn().map((one) => ({ ...one, was: null }));
    unfreeze();
    flash();
    showEditing();
    return true;
  }
  if (!opened) return false;
  const done = await act(() => post("/api/labels", { json: { picture: opened.name, set, merge: byId("merge").checked && data.kind === "voc", boxes: drawn() } }));
  if (done) {
    await open(place, false);
    say(editor.boxes.length ? "Saved." : "Saved without boxes: a background picture.");
  }
  return done;
}

async function saveAndGoOn() {
  if (editor.boxes.length) return save();
  say("There is no box yet. S saves the picture as background, Esc discards it.");
  return false;
}

async function undo() {
  if (isEditing() && editor.isChanged) {
    editor.back();
    return;
  }
  let what = "";
  const done = await act(async () => {
    const answer = await post("/api/undo");
    what = answer.undone;
    return answer;
  });
  if (!done) return;
  say(`Undone: ${what}`);
  if (mode === "pictures") await list(opened?.name);
}

// Pictures that are there

async function list(wanted) {
  await act(async () => {
    const answer = await get("/api/pictures");
    pictures = answer.pictures;
    return answer;
  });
  const index = wanted ? pictures.findIndex((one) => one.name === wanted) : pictures.findIndex((one) => !one.labelled);
  await open(Math.max(0, index), false);
}

async function step(by) {
  while (busy) await busy;
  return open(place + by);
}

/** Show a picture. The boxes of the one before are saved first, if they were changed. */
async function open(index, saving = true) {
  if (saving && opened && isDirty() && !(await save())) return;
  if (!pictures.length) {
    opened = null;
    clearStill();
    waiting("There is no picture in this data set yet. Take some with the camera.", false);
    return;
  }
  place = Math.min(Math.max(index, 0), pictures.length - 1);
  const picture = pictures[place].name;
  await act(async () => {
    opened = null;
    clearStill();
    waiting(picture, false);
    const answer = await get("/api/labels", { picture });
    opened = answer;
    try {
      await showStill(address("/api/picture", { picture, at: Date.now() }));
    } catch (error) {
      opened = null;
      throw error;
    }
    pictures[place].labelled = answer.labelled;
    set = answer.set;
    editor.load(answer.width, answer.height, answer.boxes);
    return answer;
  });
}

async function propose() {
  await act(async () => {
    const answer = await post("/api/proposals", { json: { picture: opened.name } });
    if (answer.boxes.length) editor.replace(answer.boxes);
    else say("The model finds nothing in this picture.");
    return answer;
  });
}

async function change(to) {
  if (to === mode || busy) return;
  if (frozen && editor.isChanged && !(await saveAndGoOn())) return;
  if (opened && isDirty() && !(await save())) return;
  mode = to;
  frozen = opened = null;
  clearStill();
  if (to === "camera") {
    set = remembered().set || data.defaults.set;
    await openCamera();
  } else {
    camera.pause();
    await list();
  }
  show(data);
}

// Choosing

function chooseSet(one) {
  if (!data.sets.includes(one) || !canChooseSet()) return;
  set = one;
  if (mode === "camera") remember();
  showEditing();
}

function chooseClass(one) {
  name = one;
  if (isEditing() && editor.chosen !== null) editor.rename(editor.chosen, one);
  remember();
  showEditing();
}

const memory = () => `taolite-capture ${data.folder}`;

function remember() {
  const kept = { set, name, quality: quality(), merge: byId("merge").checked, keep: byId("keep").checked };
  try { localStorage.setItem(memory(), JSON.stringify(kept)); } catch { /* a browser without storage */ }
}

function remembered() {
  try { return JSON.parse(localStorage.getItem(memory())) || {}; } catch { return {}; }
}

function setQuality() {
  byId("quality-text").textContent = quality();
}

async function addClasses(list) {
  const wanted = list.map((one) => one.trim()).filter(Boolean);
  if (!wanted.length) return say("Write a class name first.", true);
  const done = await act(() => post("/api/classes", { json: { names: wanted } }));
  if (done) {
    byId("new-class").value = "";
    chooseClass(wanted[0]);
  }
  return undefined;
}

// Wiring

const main = () => (mode === "pictures" || frozen ? save() : drawsBoxes() ? freeze() : take());

function pressed(event) {
  const typing = event.target.matches("input:not([type=range]):not([type=checkbox]), textarea, select");
  if (typing || event.altKey || event.metaKey || !data) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.ctrlKey && key !== "z") return;
  const ready = !byId("take").disabled;
  const works = {
    " ": () => ready && (frozen ? saveAndGoOn() : mode === "pictures" ? step(1) : main()),
    s: () => ready && isEditing() && save(),
    z: () => !byId("undo").disabled && undo(),
    t: () => chooseSet("train"),
    v: () => chooseSet("val"),
    e: () => chooseSet("test"),
    Delete: () => isEditing() && editor.chosen !== null && editor.remove(editor.chosen),
    Escape: () => editor.cancel() || (editor.chosen !== null && isEditing() ? editor.choose(null) : frozen && (unfreeze(), showEditing())),
    ArrowLeft: () => mode === "pictures" && step(-1),
    ArrowRight: () => mode === "pictures" && step(1),
  };
  works.Backspace = works.Delete;
  const number = Number(key);
  const work = works[key] || (number >= 1 && names()[number - 1] !== undefined ? () => chooseClass(names()[number - 1]) : null);
  if (!work || event.repeat) {
    if (work) event.preventDefault();
    return;
  }
  event.preventDefault();
  work();
}

function wire() {
  document.addEventListener("keydown", pressed);
  document.addEventListener("keyup", (event) => { if (event.key === " " && event.target.matches("button, summary")) event.preventDefault(); });
  byId("take").onclick = main;
  byId("discard").onclick = () => { unfreeze(); showEditing(); };
  byId("undo").onclick = undo;
  byId("again").onclick = () => openCamera();
  byId("devices").onchange = (event) => openCamera(event.target.value);
  byId("tab-camera").onclick = () => change("camera");
  byId("tab-pictures").onclick = () => change("pictures");
  byId("previous").onclick = () => step(-1);
  byId("next").onclick = () => step(1);
  byId("propose").onclick = propose;
  byId("message-close").onclick = () => { byId("message").hidden = true; };
  byId("make-list").onclick = () => addClasses(byId("new-list").value.split("\n"));
  byId("add").onsubmit = (event) => { event.preventDefault(); addClasses([byId("new-class").value]); };
  byId("quality").oninput = () => { setQuality(); remember(); };
  byId("merge").onchange = byId("keep").onchange = remember;
  byId("kind").onchange = async (event) => {
    if (frozen) unfreeze();
    const done = await act(() => post("/api/kind", { json: { kind: event.target.value } }));
    if (done && !drawsBoxes() && mode === "pictures") await change("camera");
    else if (done && mode === "pictures") await list();
  };
  new ResizeObserver(fit).observe(byId("stage"));
  window.addEventListener("beforeunload", (event) => { if (isDirty()) event.preventDefault(); });
}

async function start() {
  wire();
  let state;
  try {
    const answer = await get("/api/state");
    if (!answer.state) throw new Refused(answer.warning);
    state = answer.state;
  } catch (error) {
    byId("wait-text").textContent = "";
    say(error.message, true);
    return;
  }
  data = state;
  const kept = remembered();
  set = kept.set || data.defaults.set;
  name = kept.name || "";
  byId("quality").value = kept.quality || data.defaults.quality;
  byId("merge").checked = kept.merge ?? data.defaults.merge;
  byId("keep").checked = kept.keep ?? false;
  setQuality();
  makeCamera();
  if (data.flat) mode = "pictures";
  show(data);
  if (mode === "pictures") await list();
  else await openCamera();
}

start();
