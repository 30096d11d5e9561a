// The board: which view the address asks for, and what all views share. Views are modules with open(place, words).

import { compareView } from "./board_compare.js";
import { lineageView } from "./board_lineage.js";
import { runView } from "./board_run.js";
import { tableView } from "./board_table.js";
import { byId } from "./dom.js";

const VIEWS = { "": tableView, run: runView, compare: compareView, lineage: lineageView };

/** The runs that are chosen for a comparison, by id, in the order of the choice. */
const chosen = new Map();
let close = () => {};

const shared = {
  chosen,
  choose(run, isChosen) {
    if (isChosen) chosen.set(run.id, run.name);
    else chosen.delete(run.id);
    showChosen();
  },
  title(text) {
    document.title = text ? `${text}: taolite board` : "taolite board";
  },
  folder(text) {
    byId("folder").textContent = `\u200e${text}`; // its end is what is shown where there is no room for all
    byId("folder").title = text;
  },
  fail(error) {
    byId("message").textContent = error.message;
    byId("message").hidden = false;
    byId("pulse").className = "off";
    byId("pulse").title = "no answer";
  },
  heal() {
    byId("message").hidden = true;
    byId("pulse").className = "on";
    byId("pulse").title = "what is shown is kept up to date";
  },
};

function showChosen() {
  byId("chosen").hidden = chosen.size === 0;
  byId("chosen").textContent = chosen.size;
  byId("go-compare").href = chosen.size ? `#/compare/${[...chosen.keys()].join(",")}` : "#/compare";
}

function go() {
  const [name, ...words] = location.hash.replace(/^#\/?/, "").split("/");
  const view = VIEWS[name] || tableView;
  close();
  for (const [id, names] of [["go-runs", ["", "run"]], ["go-compare", ["compare"]], ["go-lineage", ["lineage"]]]) {
    if (names.includes(name)) byId(id).setAttribute("aria-current", "page");
    else byId(id).removeAttribute("aria-current");
  }
  byId("message").hidden = true;
  const place = byId("view");
  place.replaceChildren();
  place.className = `view-${name || "runs"}`;
  close = view(place, words, shared) || (() => {});
}

window.addEventListener("hashchange", () => {
  go();
  window.scrollTo(0, 0);
});
showChosen();
go();
