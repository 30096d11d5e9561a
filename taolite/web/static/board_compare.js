// Runs side by side: curves over each other, scores with their differences, and the fields in which the specs differ.

import { Chart } from "./chart.js";
import { isMapping, perClass, points } from "./curves.js";
import { badge, colour, duration, linkTo, make, score } from "./dom.js";
import { follow } from "./feed.js";

export function compareView(place, [ids = ""], shared) {
  const chosen = ids.split(",").filter(Boolean);
  shared.title("compare");
  if (chosen.length < 2) {
    place.append(make("p", { className: "empty" }, "Choose two or more runs in the ", make("a", { href: "#/", textContent: "table of runs" }), ", then press Compare. Keys there: x chooses a run, c compares."));
    return () => {};
  }
  const summary = make("div", { className: "card wide" });
  const charts = {
    loss: new Chart("Training cost"),
    validation_cost: new Chart("Validation cost"),
    score: new Chart("Score", { format: score, within: [0, 1] }),
    learning_rate: new Chart("Learning rate"),
  };
  const classes = make("div", { className: "card wide" });
  const spec = make("div", { className: "card wide" });
  place.append(summary, make("div", { className: "grid charts" }, ...Object.values(charts).map((one) => one.element)), classes, spec);
  return follow("/api/compare", chosen.map((id) => ["id", id]), {
    show(answer) {
      const { lines, runs } = answer;
      for (const one of Object.values(charts)) one.span = [1, Math.max(...lines.map((line) => line.epoch))];
      const curves = (of) => runs.map((run, index) => ({ name: lines[index].name, colour: colour(index), points: points(run.rows, of(lines[index])) }));
      for (const key of ["loss", "validation_cost", "learning_rate"]) charts[key].show(curves(() => key));
      charts.score.show(curves((line) => line.metric));
      summary.replaceChildren(...showSummary(answer));
      classes.replaceChildren(...showClasses(answer));
      spec.replaceChildren(...showSpec(answer));
    },
    fail: shared.fail,
    heal: shared.heal,
  });
}

function key(index) {
  const dot = make("span", { className: "key" });
  dot.style.background = colour(index);
  return dot;
}

/** How far a value is from that of the first run. */
function difference(value, first) {
  if (typeof value !== "number" || typeof first !== "number" || value === first) return null;
  const by = value - first;
  return make("span", { className: by > 0 ? "up" : "down", textContent: `${by > 0 ? "+" : "−"}${Math.abs(by).toFixed(4)}` });
}

function showSummary({ lines, runs }) {
  const best = (index) => points(runs[index].rows, lines[index].metric).reduce((found, one) => (found === null || one[1] > found[1] ? one : found), null);
  const rows = lines.map((line, index) => {
    const top = best(index);
    return make(
      "tr", {},
      make("th", { scope: "row" }, key(index), " ", linkTo(line)),
      make("td", {}, badge(line.state)),
      make("td", {}, make("b", { textContent: score(line.score) }), " ", index ? difference(line.score, lines[0].score) : null),
      make("td", { textContent: top ? `${score(top[1])} (epoch ${top[0]})` : "–" }),
      make("td", { textContent: `${line.epoch} / ${line.epochs || "–"}` }),
      make("td", { textContent: duration(line.trained_s) }),
      make("td", { textContent: typeof runs[index].parameters === "number" ? runs[index].parameters.toLocaleString("en") : "–" }),
    );
  });
  const heads = ["Run", "State", "Score", "Best", "Epochs", "Trained", "Parameters"];
  return [make("h2", { textContent: "Runs; differences are to the first one" }), make("div", { className: "scroll" }, make("table", { id: "summary" }, make("thead", {}, make("tr", {}, ...heads.map((text) => make("th", { scope: "col", textContent: text })))), make("tbody", {}, ...rows)))];
}

function showClasses({ lines, runs }) {
  const scores = runs.map((run, index) => {
    const found = run.scores[perClass(lines[index].metric)];
    if (isMapping(found)) return found;
    const row = [...run.rows].reverse().find((one) => isMapping(one[perClass(lines[index].metric)])); // before the end
    return row ? row[perClass(lines[index].metric)] : {};
  });
  const names = [...new Set(scores.flatMap(Object.keys))];
  if (!names.length) return [make("h2", { textContent: "Scores of the classes" }), make("p", { className: "quiet", textContent: "No validation yet." })];
  const rows = names.map((name) => make("tr", {}, make("th", { scope: "row", textContent: name }), ...scores.map((one, index) => make("td", {}, make("b", { textContent: score(one[name]) }), " ", index ? difference(one[name], scores[0][name]) : null))));
  return [make("h2", { textContent: "Scores of the classes" }), make("div", { className: "scroll" }, make("table", { id: "class-scores" }, heads("Class", lines), make("tbody", {}, ...rows)))];
}

function showSpec({ lines, spec }) {
  const title = make("h2", { textContent: "Where the specs differ" });
  if (!spec.length) return [title, make("p", { className: "quiet", id: "same-spec", textContent: "In no field: these runs have the same spec." })];
  const rows = spec.map(({ path, values }) => make("tr", {}, make("th", { scope: "row", className: "path", textContent: path }), ...values.map((value, index) => make("td", { className: index && value !== values[0] ? "other" : "", textContent: value ?? "not set" }))));
  return [title, make("div", { className: "scroll" }, make("table", { id: "spec-differences" }, heads("Field", lines), make("tbody", {}, ...rows)))];
}

function heads(first, lines) {
  return make("thead", {}, make("tr", {}, make("th", { scope: "col", textContent: first }), ...lines.map((line, index) => make("th", { scope: "col" }, key(index), " ", make("span", { textContent: line.name })))));
}
