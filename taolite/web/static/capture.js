// The capture page: one camera or one picture on the left, the data set on the right. What a user can do with it.

import { Refused, address, get, post } from "./api.js";
import { BrowserCamera, ServerCamera } from "./camera.js";
import {
  act, canChooseSet, drawsBoxes, editor, fit, isDirty, isEditing, names, page, quality, say, show, showEditing,
} from "./page.js";
import { byId, make } from "./panel.js";

history.replaceState(null, "", location.pathname); // the token is in a cookie now

// The camera

function waiting(text, again) {
  page.live = false;
  byId("wait").hidden = false;
  byId("wait-text").textContent = text;
  byId("again").hidden = !again;
  for (const id of ["video", "live"]) byId(id).hidden = true;
  if (page.data) showEditing();
}

async function openCamera(device) {
  waiting("Opening the camera ...", false);
  try {
    await page.camera.open(device);
  } catch (error) {
    if (page.mode === "camera" && !page.frozen) waiting(error.message, true);
    return;
  }
  page.live = true;
  if (page.mode !== "camera") return page.camera.pause();
  byId("wait").hidden = true;
  page.camera.element.hidden = page.frozen !== null;
  fit();
  showEditing();
  await showDevices();
}

async function showDevices() {
  if (!(page.camera instanceof BrowserCamera)) return;
  const devices = await page.camera.devices();
  byId("devices").hidden = devices.length < 2;
  byId("devices").replaceChildren(
    ...devices.map((one) => make("option", { value: one.id, textContent: one.name, selected: one.id === page.camera.device })),
  );
}

function makeCamera() {
  const back = () => {
    page.live = true;
    byId("wait").hidden = true;
    page.camera.element.hidden = page.frozen !== null;
    fit();
    showEditing();
  };
  const lost = (text) => { if (page.frozen) say(text, true); else if (page.mode === "camera") waiting(text, true); page.live = false; };
  page.camera = page.data.camera
    ? new ServerCamera(byId("live"), { lost, back, sized: fit })
    : new BrowserCamera(byId("video"), { lost });
  byId("video").addEventListener("resize", fit);
}

// Taking, freezing, saving

async function take() {
  const done = await act(async () => {
    const body = await page.camera.grab(quality());
    return post("/api/shots", { asked: { set: page.set, class: page.name, quality: quality() }, body });
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
  if (page.busy) return;
  const kept = byId("keep").checked ? freeze.boxes || [] : [];
  await act(async () => {
    const body = await page.camera.grab(quality());
    const answer = await post("/api/frames", { asked: { quality: quality() }, body });
    page.frozen = { frame: answer.frame, width: answer.width, height: answer.height };
    await showStill(body ? URL.createObjectURL(body) : `/api/frames/${answer.frame}`);
    page.camera.pause();
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
  page.camera.element.hidden = true;
  byId("wait").hidden = true;
  if (page.frozen || page.opened) fit();
}

function unfreeze() {
  page.frozen = null;
  clearStill();
  if (!page.live) openCamera();
  else {
    page.camera.element.hidden = false;
    page.camera.resume();
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
  if (page.busy) return false;
  if (page.frozen) {
    const done = await act(() => post("/api/labels", { json: { frame: page.frozen.frame, set: page.set || "train", merge: byId("merge").checked, boxes: drawn() } }));
    if (!done) return false;
    freeze.boxes = drawn().map((one) => ({ ...one, was: null }));
    unfreeze();
    flash();
    showEditing();
    return true;
  }
  if (!page.opened) return false;
  const done = await act(() => post("/api/labels", { json: { picture: page.opened.name, revision: page.opened.revision, set: page.set, merge: byId("merge").checked && page.data.kind === "voc", boxes: drawn() } }));
  if (done) {
    await open(page.place, false);
    say(editor.boxes.length ? "Saved." : "Saved without boxes: a background picture.");
  }
  return done;
}

function discard() {
  if (page.opened && isDirty()) open(page.place, false);
  else if (page.frozen) {
    unfreeze();
    showEditing();
  }
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
  if (page.mode === "pictures") await list(page.opened?.name);
}

// Pictures that are there

async function list(wanted) {
  await act(async () => {
    const answer = await get("/api/pictures");
    page.pictures = answer.pictures;
    return answer;
  });
  const index = wanted ? page.pictures.findIndex((one) => one.name === wanted) : page.pictures.findIndex((one) => !one.labelled);
  await open(Math.max(0, index), false);
}

async function step(by) {
  while (page.busy) await page.busy;
  return open(page.place + by);
}

/** Show a picture. The boxes of the one before are saved first, if they were changed. */
async function open(index, saving = true) {
  if (saving && page.opened && isDirty() && !(await save())) return;
  if (!page.pictures.length) {
    page.opened = null;
    clearStill();
    waiting("There is no picture in this data set yet. Take some with the camera.", false);
    return;
  }
  page.place = Math.min(Math.max(index, 0), page.pictures.length - 1);
  const picture = page.pictures[page.place].name;
  await act(async () => {
    page.opened = null;
    clearStill();
    waiting(picture, false);
    const answer = await get("/api/labels", { picture });
    page.opened = answer;
    try {
      await showStill(address("/api/picture", { picture, at: Date.now() }));
    } catch (error) {
      page.opened = null;
      throw error;
    }
    page.pictures[page.place].labelled = answer.labelled;
    page.set = answer.set;
    editor.load(answer.width, answer.height, answer.boxes);
    return answer;
  });
}

async function propose() {
  await act(async () => {
    const answer = await post("/api/proposals", { json: { picture: page.opened.name } });
    if (answer.boxes.length) editor.replace(answer.boxes);
    else say("The model finds nothing in this picture.");
    return answer;
  });
}

async function change(to) {
  if (to === page.mode || page.busy) return;
  if (page.frozen && editor.isChanged && !(await saveAndGoOn())) return;
  if (page.opened && isDirty() && !(await save())) return;
  page.mode = to;
  page.frozen = page.opened = null;
  clearStill();
  if (to === "camera") {
    page.set = remembered().set || page.data.defaults.set;
    await openCamera();
  } else {
    page.camera.pause();
    await list();
  }
  show(page.data);
}

// Choosing

function chooseSet(one) {
  if (!page.data.sets.includes(one) || !canChooseSet()) return;
  page.set = one;
  if (page.mode === "camera") remember();
  showEditing();
}

function chooseClass(one) {
  page.name = one;
  if (isEditing() && editor.chosen !== null) editor.rename(editor.chosen, one);
  remember();
  showEditing();
}

const memory = () => `taolite-capture ${page.data.folder}`;

function remember() {
  const kept = { set: page.set, name: page.name, quality: quality(), merge: byId("merge").checked, keep: byId("keep").checked };
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

const main = () => (page.mode === "pictures" || page.frozen ? save() : drawsBoxes() ? freeze() : take());

function pressed(event) {
  const typing = event.target.matches("input:not([type=range]):not([type=checkbox]), textarea, select");
  if (typing || event.altKey || event.metaKey || !page.data) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.ctrlKey && key !== "z") return;
  const ready = !byId("take").disabled;
  const works = {
    " ": () => ready && (page.frozen ? saveAndGoOn() : page.mode === "pictures" ? step(1) : main()),
    s: () => ready && isEditing() && save(),
    z: () => !byId("undo").disabled && undo(),
    t: () => chooseSet("train"),
    v: () => chooseSet("val"),
    e: () => chooseSet("test"),
    Delete: () => isEditing() && editor.chosen !== null && editor.remove(editor.chosen),
    Escape: () => editor.cancel() || (editor.chosen !== null && isEditing() ? editor.choose(null) : discard()),
    ArrowLeft: () => page.mode === "pictures" && step(-1),
    ArrowRight: () => page.mode === "pictures" && step(1),
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
  byId("discard").onclick = discard;
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
    if (page.frozen) unfreeze();
    const done = await act(() => post("/api/kind", { json: { kind: event.target.value } }));
    if (done && !drawsBoxes() && page.mode === "pictures") await change("camera");
    else if (done && page.mode === "pictures") await list();
  };
  new ResizeObserver(fit).observe(byId("stage"));
  window.addEventListener("beforeunload", (event) => { if (isDirty()) event.preventDefault(); });
}

async function start() {
  Object.assign(page, { chooseSet, chooseClass });
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
  page.data = state;
  const kept = remembered();
  page.set = kept.set || page.data.defaults.set;
  page.name = kept.name || "";
  byId("quality").value = kept.quality || page.data.defaults.quality;
  byId("merge").checked = kept.merge ?? page.data.defaults.merge;
  byId("keep").checked = kept.keep ?? false;
  setQuality();
  makeCamera();
  if (page.data.flat) page.mode = "pictures";
  show(page.data);
  if (page.mode === "pictures") await list();
  else await openCamera();
}

start();
