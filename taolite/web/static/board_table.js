// The table of runs: filtered, sorted, kept up to date.

import { badge, counted, duration, linkTo, make, score, when } from "./dom.js";
import { follow, skew_s } from "./feed.js";

const COLUMNS = [
  { key: "name", head: "Run", of: (run) => run.name },
  { key: "task", head: "Task", of: (run) => run.task },
  { key: "state", head: "State", of: (run) => run.state },
  { key: "epoch", head: "Epoch", of: (run) => run.epoch, isNumber: true },
  { key: "score", head: "Score", of: (run) => run.score, isNumber: true },
  { key: "started", head: "Started", of: (run) => run.started, isNumber: true },
  { key: "took", head: "Trained", of: (run) => run.trained_s, isNumber: true },
  { key: "parent", head: "From", of: (run) => run.parent.name || run.parent.hash },
];
const asked = { text: "", task: "", state: "", by: "started", isDown: true }; // lasts while the page is open

const NAMES = new Intl.Collator("en", { numeric: true });

/** Seconds that a running run still needs, as it last said. */
export function left_s(run) {
  return run.ends === null ? null : Math.max(0, run.ends - Date.now() / 1000 - skew_s);
}

/** How far a run is: a bar while it runs, and the time left. */
export function progress(run) {
  if (run.state !== "running") return make("span", { textContent: run.epochs ? `${run.epoch} / ${run.epochs}` : "–" });
  const bar = make("progress", { max: run.epochs || 1, value: run.epoch });
  bar.setAttribute("aria-label", `epoch ${run.epoch} of ${run.epochs || "unknown"}`);
  const left = left_s(run);
  const text = run.epochs ? `${run.epoch} / ${run.epochs}${left === null ? "" : `, ${duration(left)} left`}` : "first epoch";
  return make("div", { className: "progress" }, bar, make("small", { textContent: text }));
}

/** Whether a run has no page: its files cannot be read, or not yet. */
const isClosed = (run) => run.state === "unreadable" || run.state === "waiting";

export function tableView(place, words, shared) {
  let runs = [];
  let complete = true;
  const rows = new Map(); // id -> {row, text}
  const search = make("input", { type: "search", id: "search", value: asked.text, placeholder: "Filter by name, task, parent or message", autocomplete: "off", spellcheck: false });
  search.setAttribute("aria-label", "Filter runs by text (key /)");
  const [tasks, states] = ["task", "state"].map((key) => {
    const select = make("select", { id: `only-${key}`, onchange: () => { asked[key] = select.value; list(); } });
    select.setAttribute("aria-label", `Only this ${key}`);
    return select;
  });
  const count = make("span", { id: "count", className: "quiet", role: "status" });
  const compare = make("button", { type: "button", id: "compare", className: "main", textContent: "Compare", onclick: () => { location.hash = `#/compare/${[...shared.chosen.keys()].join(",")}`; } });
  const body = make("tbody");
  const heads = COLUMNS.map((column) => {
    const button = make("button", { type: "button", textContent: column.head, onclick: () => sortBy(column.key) });
    return make("th", { scope: "col", className: `col-${column.key}`, data: { key: column.key } }, button);
  });
  const table = make("table", { id: "runs" }, make("thead", {}, make("tr", {}, make("th", { className: "col-pick" }), heads)), body);
  const empty = make("p", { id: "empty", className: "empty", hidden: true });
  place.append(make("div", { className: "tools" }, search, tasks, states, count, make("span", { className: "space" }), compare), make("div", { className: "card wide" }, table), empty);
  search.addEventListener("input", () => { asked.text = search.value; list(); });
  shared.title("");

  function sortBy(key) {
    if (asked.by === key) asked.isDown = !asked.isDown;
    else [asked.by, asked.isDown] = [key, COLUMNS.find((one) => one.key === key).isNumber === true];
    list();
  }

  function list() {
    options(tasks, "every task", runs.map((run) => run.task), asked.task);
    options(states, "every state", runs.map((run) => run.state), asked.state);
    const words = asked.text.toLowerCase().split(/\s+/).filter(Boolean);
    const shown = runs.filter((run) => (!asked.task || run.task === asked.task) && (!asked.state || run.state === asked.state) && words.every((word) => haystack(run).includes(word)));
    const column = COLUMNS.find((one) => one.key === asked.by);
    shown.sort((a, b) => order(column.of(a), column.of(b), asked.isDown) || order(a.name, b.name, false));
    for (const head of heads) {
      const isIt = head.dataset.key === asked.by;
      head.setAttribute("aria-sort", isIt ? (asked.isDown ? "descending" : "ascending") : "none");
    }
    const ordered = shown.map((run) => row(run));
    if (ordered.some((one, index) => body.children[index] !== one) || body.children.length !== ordered.length) {
      const focused = body.contains(document.activeElement) ? document.activeElement : null;
      body.replaceChildren(...ordered);
      focused?.focus({ preventScroll: true });
    }
    count.textContent = (shown.length === runs.length ? counted(runs.length, "run") : `${shown.length} of ${counted(runs.length, "run")}`) + (complete ? "" : ", still searching ...");
    empty.hidden = shown.length > 0 || !complete;
    empty.textContent = runs.length ? "No run fits these filters." : "There are no runs in this folder yet. A training that writes its results below it (-r) appears here by itself.";
    table.parentElement.hidden = !shown.length;
    pick();
  }

  function row(run) {
    const text = JSON.stringify(run);
    const known = rows.get(run.id);
    if (known?.text === text) {
      if (run.state === "running") known.cell.replaceChildren(progress(run));
      return known.row;
    }
    const made = build(run);
    if (known) {
      const isInside = known.row.contains(document.activeElement) ? document.activeElement.className : null;
      known.row.replaceWith(made.row);
      if (isInside !== null) made.row.querySelector(isInside === "pick" ? ".pick" : "a")?.focus({ preventScroll: true });
    }
    rows.set(run.id, { ...made, text });
    return made.row;
  }

  function build(run) {
    const box = make("input", { type: "checkbox", className: "pick", checked: shared.chosen.has(run.id), disabled: isClosed(run) });
    box.setAttribute("aria-label", `Choose ${run.name} for a comparison`);
    box.onchange = () => { shared.choose(run, box.checked); pick(); };
    const name = isClosed(run) ? make("span", { textContent: run.name, tabIndex: 0 }) : linkTo(run);
    const cell = make("td", { className: "col-epoch" }, progress(run));
    const parent = run.parent.id ? linkTo(run.parent) : make("span", { className: "quiet", textContent: run.parent.hash.slice(0, 8), title: run.parent.hash });
    const row = make(
      "tr", { data: { id: run.id, state: run.state } },
      make("td", { className: "col-pick" }, box),
      make("td", { className: "col-name" }, name, run.message ? make("p", { className: "why", textContent: run.message }) : null),
      make("td", { className: "col-task", textContent: run.task }),
      make("td", { className: "col-state" }, badge(run.state)),
      cell,
      make("td", { className: "col-score" }, make("b", { textContent: score(run.score) }), " ", make("small", { className: "quiet", textContent: run.metric })),
      make("td", { className: "col-started", textContent: when(run.started) }),
      make("td", { className: "col-took", textContent: duration(run.trained_s) }),
      make("td", { className: "col-parent" }, parent),
    );
    row.addEventListener("click", (event) => {
      if (!isClosed(run) && !event.target.closest("a, input, .col-pick") && !String(getSelection())) location.hash = `#/run/${run.id}`;
    });
    return { row, cell };
  }

  function pick() {
    compare.disabled = shared.chosen.size < 2;
    compare.textContent = shared.chosen.size < 2 ? "Choose runs to compare" : `Compare ${shared.chosen.size} runs`;
    for (const { row } of rows.values()) row.classList.toggle("chosen", shared.chosen.has(row.dataset.id));
  }

  function keys(event) {
    const isTyping = event.target.matches("input:not([type=checkbox]), select");
    if (event.key === "Escape" && event.target === search) {
      asked.text = search.value = "";
      list();
    }
    if (event.key === "ArrowDown" && event.target === search) move(event, 0);
    if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/") {
      event.preventDefault();
      search.focus();
    }
    const at = [...body.children].indexOf(event.target.closest("tr"));
    if (event.key === "ArrowDown" || event.key === "j") move(event, at + 1);
    if ((event.key === "ArrowUp" || event.key === "k") && at >= 0) at === 0 ? search.focus() : move(event, at - 1);
    if (event.key === "x" && at >= 0) body.children[at].querySelector(".pick").click();
    if (event.key === "c" && shared.chosen.size > 1) compare.click();
  }

  function move(event, at) {
    const row = body.children[Math.min(at, body.children.length - 1)];
    if (!row) return;
    event.preventDefault();
    row.querySelector(".col-name > *").focus();
    row.scrollIntoView({ block: "nearest" });
  }

  document.addEventListener("keydown", keys);
  const ticker = setInterval(() => {
    for (const run of runs) if (run.state === "running") rows.get(run.id)?.cell.replaceChildren(progress(run));
  }, 1000);
  const end = follow("/api/runs", {}, {
    show(answer) {
      ({ runs, complete } = answer);
      shared.folder(answer.root);
      list();
    },
    fail: shared.fail,
    heal: shared.heal,
  });
  return () => {
    end();
    clearInterval(ticker);
    document.removeEventListener("keydown", keys);
  };
}

function haystack(run) {
  return `${run.name} ${run.task} ${run.state} ${run.parent.name} ${run.parent.hash} ${run.message}`.toLowerCase();
}

function options(select, every, values, chosen) {
  const wanted = [...new Set(values.filter(Boolean))].sort();
  if (chosen && !wanted.includes(chosen)) wanted.push(chosen);
  const now = [...select.options].map((one) => one.value).slice(1);
  if (select.options.length && now.join("\n") === wanted.join("\n")) return;
  select.replaceChildren(make("option", { value: "", textContent: every }), ...wanted.map((one) => make("option", { value: one, textContent: one, selected: one === chosen })));
}

/** Numbers by size and texts by the alphabet; what is unknown is last either way. */
function order(a, b, isDown) {
  const [hasA, hasB] = [a !== null && a !== "", b !== null && b !== ""];
  if (!hasA || !hasB) return Number(hasB) - Number(hasA);
  const found = typeof a === "number" ? a - b : NAMES.compare(a, b);
  return isDown ? -found : found;
}
