// The page of a run: curves while it trains, its scores, pictures, plots, spec and files.

import { address } from "./api.js";
import { findsTab } from "./board_finds.js";
import { drawGraph, related } from "./board_lineage.js";
import { progress } from "./board_table.js";
import { Chart } from "./chart.js";
import { classCurves, isMapping, parts, points } from "./curves.js";
import { badge, byId, colour, counted, duration, linkTo, make, number, score, when } from "./dom.js";
import { follow, once } from "./feed.js";

const TABS = [["", "Overview"], ["predictions", "Predictions"], ["plots", "Plots"], ["spec", "Spec"], ["files", "Files"]];

export function runView(place, [id, tab = ""], shared) {
  const head = make("section", { className: "run-head" });
  const tabs = make("nav", { className: "tabs", "aria-label": "Parts of this run" }, ...TABS.map(([name, text]) => {
    const link = make("a", { href: `#/run/${id}${name && `/${name}`}`, textContent: text, id: `tab-${name || "overview"}` });
    if (name === tab) link.setAttribute("aria-current", "page");
    return link;
  }));
  const inner = make("section", { id: "tab" });
  place.append(head, tabs, inner);
  const part = { predictions: findsTab, plots: plotsTab, spec: specTab, files: filesTab }[tab] || overviewTab;
  const update = part(inner, id, shared);
  let data = null;
  const ticker = setInterval(() => { if (data?.run.state === "running") showHead(head, data, shared); }, 1000);
  const end = follow("/api/run", { id }, {
    show(answer) {
      data = answer;
      shared.title(data.run.name);
      showHead(head, data, shared);
      update(data);
    },
    fail: shared.fail,
    heal: shared.heal,
  });
  return () => {
    end();
    update.end?.();
    clearInterval(ticker);
  };
}

function showHead(place, data, shared) {
  const { run, facts } = data;
  const isChosen = shared.chosen.has(run.id);
  const choose = make("button", { type: "button", id: "choose", textContent: isChosen ? "Chosen for comparison" : "Choose to compare" });
  choose.setAttribute("aria-pressed", String(isChosen));
  choose.onclick = () => { shared.choose(run, !isChosen); showHead(place, data, shared); byId("choose").focus(); };
  const parent = run.parent.id ? linkTo(run.parent) : run.parent.hash ? `weights ${run.parent.hash.slice(0, 8)}` : "random weights";
  const rows = [
    [run.metric || "Score", make("b", { className: "big", textContent: score(run.score) })],
    ["Epoch", progress(run)],
    ["Trained", duration(run.trained_s)],
    ["Started", when(run.started)],
    ["Task", run.task || "–"],
    ["From", parent],
    ["Parameters", typeof facts.parameters === "number" ? facts.parameters.toLocaleString("en") : "–"],
  ];
  place.replaceChildren(
    make("div", { className: "title" }, make("h1", { id: "run-name", textContent: run.name }), badge(run.state), make("span", { className: "space" }), choose),
    make("dl", { className: "facts" }, ...rows.map(([name, value]) => make("div", {}, make("dt", { textContent: name }), make("dd", {}, value)))),
    ...(run.message ? [make("p", { className: "notice-bad", id: "why", textContent: run.message })] : []),
  );
}

function overviewTab(place, id) {
  const charts = {
    cost: new Chart("Cost"),
    score: new Chart("Score", { format: score, within: [0, 1] }),
    rate: new Chart("Learning rate"),
    parts: new Chart("Parts of the training cost"),
  };
  const tables = make("div", { className: "grid" });
  const lineage = make("div", { className: "card graph", hidden: true });
  place.append(make("div", { className: "grid charts" }, ...Object.values(charts).map((one) => one.element)), tables, lineage);
  once("/api/lineage", {}).then((graph) => {
    lineage.hidden = false;
    drawGraph(lineage, related(graph, id), { here: id });
  }, () => {});
  return ({ run, rows, scorecard, problem, manifest }) => {
    for (const one of Object.values(charts)) one.span = [1, run.state === "running" ? Math.min(run.epochs, 2 * run.epoch) : run.epoch]; // room to grow
    charts.cost.show([{ name: "training", colour: colour(0), points: points(rows, "loss") }, { name: "validation", colour: colour(1), points: points(rows, "validation_cost") }]);
    const classes = classCurves(rows, run.metric);
    charts.score.show([{ name: run.metric || "score", colour: colour(0), points: points(rows, run.metric) }, ...classes.slice(0, 11).map((one, place) => ({ ...one, colour: colour(place + 1), thin: true }))]);
    charts.rate.show([{ name: "learning rate", colour: colour(0), points: points(rows, "learning_rate") }]);
    const costs = parts(rows);
    charts.parts.element.hidden = costs.length < 2;
    charts.parts.show(costs);
    tables.replaceChildren(...[problem && make("p", { className: "notice-bad", textContent: problem }), scorecard && classTable(scorecard), scorecard && confusion(scorecard, manifest), scorecard && beside(scorecard)].filter(Boolean));
  };
}

/** Scores of each class, with the threshold that has the best F1. */
function classTable(scorecard) {
  const card = isMapping(scorecard.card) ? scorecard.card : {};
  const main = isMapping(card.main) ? card.main : {};
  const [values, objects, best] = [main.per_class, card.objects, card.best].map((one) => (isMapping(one) ? one : {}));
  const names = [...new Set([...Object.keys(objects), ...Object.keys(values)])];
  const hasBest = Object.keys(best).length > 0;
  const heads = ["Class", "Objects", main.words?.of_class === "AP" ? "AP" : "Accuracy", ...(hasBest ? ["Best threshold", "Precision", "Recall", "F1"] : [])];
  const rows = names.map((name) => {
    const point = isMapping(best[name]) ? best[name] : {};
    const bar = make("span", { className: "bar" });
    bar.style.width = `${100 * Math.min(1, Math.max(0, Number(values[name]) || 0))}%`;
    return make(
      "tr", {},
      make("th", { scope: "row", textContent: name }),
      make("td", { textContent: number(objects[name]) }),
      make("td", { className: "barred" }, make("span", { textContent: score(values[name]) }), bar),
      ...(hasBest ? ["threshold", "precision", "recall", "f1"].map((key) => make("td", { textContent: typeof point[key] === "number" ? point[key].toFixed(3) : "–" })) : []),
    );
  });
  return make("div", { className: "card wide" }, make("h2", { textContent: "Classes" }), make("table", { id: "classes" }, make("thead", {}, make("tr", {}, ...heads.map((text) => make("th", { scope: "col", textContent: text })))), make("tbody", {}, ...rows)));
}

/** The confusion matrix: true classes in rows, predicted ones in columns. */
function confusion(scorecard, manifest) {
  const counts = scorecard.card?.confusion;
  if (!Array.isArray(counts) || !counts.length || counts.length > 60 || !counts.every(Array.isArray)) return null;
  const known = Array.isArray(manifest.run?.classes) ? manifest.run.classes.map(String) : [];
  const names = counts.map((_, place) => known[place] ?? (place === known.length ? "background" : `class ${place}`));
  const rows = counts.map((row, truth) => {
    const total = row.reduce((sum, value) => sum + (Number(value) || 0), 0);
    return make("tr", {}, make("th", { scope: "row", textContent: names[truth] }), ...row.map((value, found) => {
      const cell = make("td", { textContent: number(value), title: `${names[truth]} found as ${names[found]}: ${number(value)} of ${total}` });
      const share = total ? value / total : 0;
      cell.style.background = `color-mix(in srgb, var(${truth === found ? "--good" : "--bad"}) ${Math.round(share * 62)}%, transparent)`;
      return cell;
    }));
  });
  const head = make("tr", {}, make("th", { className: "corner", textContent: "true ↓  found →" }), ...names.map((name) => make("th", { scope: "col", textContent: name })));
  return make("div", { className: "card wide" }, make("h2", { textContent: "Confusion" }), make("div", { className: "scroll" }, make("table", { id: "confusion" }, make("thead", {}, head), make("tbody", {}, ...rows))));
}

/** Further figures of the validation. */
function beside({ card, cost, seconds_per_image: seconds, worst }) {
  const rows = [["Cost", number(cost)], ["Network, per picture", typeof seconds === "number" ? `${number(seconds * 1000)} ms` : "–"], ["Pictures", number(card?.images)]];
  for (const [name, metric] of Object.entries(isMapping(card?.beside) ? card.beside : {})) rows.push([`${name} ${metric?.words?.short ?? ""}`, score(metric?.value)]);
  for (const [name, value] of Object.entries(isMapping(card?.by_size) ? card.by_size : {})) rows.push([`AP of ${name} objects`, score(value)]);
  const list = make("dl", { className: "pairs" }, ...rows.flatMap(([name, value]) => [make("dt", { textContent: name }), make("dd", { textContent: value })]));
  const bad = Array.isArray(worst) ? worst.filter(isMapping) : [];
  return make("div", { className: "card" }, make("h2", { textContent: "Last validation" }), list, bad.length > 0 && make("details", {}, make("summary", { textContent: `${counted(bad.length, "picture")} with the most mistakes` }), make("ul", { className: "names" }, ...bad.map((one) => make("li", { textContent: `${String(one.image).split("/").pop()}: F1 ${number(one.f1)}`, title: String(one.image) })))));
}

function plotsTab(place, id) {
  const list = make("div", { className: "plots" });
  const empty = make("p", { className: "empty", textContent: "No plots yet. They are drawn during the training and after its last validation." });
  place.append(list, empty);
  const shown = new Map();
  return ({ plots, run }) => {
    empty.hidden = plots.length > 0;
    for (const name of plots) {
      const source = address("/api/plot", { id, name, t: run.updated ?? 0 });
      if (!shown.has(name)) {
        const image = make("img", { alt: name, loading: "lazy" });
        const link = make("a", { target: "_blank", rel: "noopener", title: "Open this picture alone" }, image);
        shown.set(name, { image, link });
        list.append(make("figure", { className: "card" }, link, make("figcaption", { textContent: name })));
      }
      const { image, link } = shown.get(name);
      if (image.getAttribute("src") !== source) image.src = link.href = source;
    }
  };
}

function specTab(place) {
  const text = make("pre", { id: "spec-text" });
  const copy = make("button", { type: "button", className: "small", textContent: "Copy" });
  copy.onclick = () => navigator.clipboard.writeText(text.textContent).then(() => { copy.textContent = "Copied"; }, () => { copy.textContent = "The browser does not allow it"; });
  place.append(make("div", { className: "card wide" }, make("div", { className: "chart-head" }, make("h2", { textContent: "experiment_spec.txt: what was trained, with all its fields" }), copy), text));
  return ({ spec }) => { if (text.textContent !== spec) text.textContent = spec; };
}

function filesTab(place) {
  return ({ folder, facts, status, manifest }) => {
    const versions = isMapping(facts.versions) ? facts.versions : {};
    const machine = { ...(isMapping(facts.hardware) ? facts.hardware : {}), ...(isMapping(facts.device) ? facts.device : {}), "batch size": facts.batch_size, seed: facts.seed };
    const open = place.querySelector("details")?.open;
    place.replaceChildren(
      make("p", { className: "quiet path", textContent: folder }),
      make("div", { className: "grid" }, pairs("Versions", versions), pairs("Machine and run", machine)),
      make("div", { className: "card wide" }, make("h2", { textContent: "status.json, newest first" }), make("table", { id: "status" }, make("tbody", {}, ...[...status].reverse().map((line) => make("tr", {}, make("td", { className: "quiet", textContent: line.at }), make("td", { textContent: String(line.status ?? "") }), make("td", { textContent: String(line.message ?? "") })))))),
      make("details", { className: "card wide", open }, make("summary", { textContent: "manifest.json, without the spec" }), make("pre", { id: "manifest-text", textContent: JSON.stringify(manifest, null, 2) })),
    );
  };
}

function pairs(title, values) {
  const text = (value) => (value === null || value === undefined ? "–" : isMapping(value) ? JSON.stringify(value) : String(value));
  return make("div", { className: "card" }, make("h2", { textContent: title }), make("dl", { className: "pairs" }, ...Object.entries(values).filter(([, value]) => value !== "").flatMap(([name, value]) => [make("dt", { textContent: name }), make("dd", { textContent: text(value) })])));
}
