// What came from what, drawn from left to right: data and weights, runs, pruned models, runs on them, exports, engines.

import { draw, make } from "./dom.js";
import { follow } from "./feed.js";

const BOX = { width: 210, height: 46, across: 70, down: 14 };
const KINDS = { data: "data", weights: "weights from elsewhere", run: "run", pruned: "pruned model", export: "export", engine: "engine" };

export function lineageView(place, words, shared) {
  shared.title("lineage");
  const search = make("input", { type: "search", id: "search", placeholder: "Only what is related to ...", autocomplete: "off", spellcheck: false });
  search.setAttribute("aria-label", "Show only what is related to nodes with this text");
  const legend = make("div", { className: "legend" }, ...Object.entries(KINDS).map(([kind, text]) => make("span", { className: `entry ${kind}` }, make("span", { className: "key" }), text)));
  const card = make("div", { className: "card graph" });
  const empty = make("p", { className: "empty", textContent: "There are no runs in this folder yet.", hidden: true });
  place.append(make("div", { className: "tools" }, search, legend), card, empty);
  let graph = { nodes: [], edges: [] };
  const show = () => {
    const text = search.value.trim().toLowerCase();
    const found = graph.nodes.filter((node) => `${node.title} ${node.id}`.toLowerCase().includes(text)).map((node) => node.id);
    const shown = text ? related(graph, ...found) : graph;
    empty.hidden = shown.nodes.length > 0;
    empty.textContent = text ? "Nothing here has this text." : "There are no runs in this folder yet.";
    card.hidden = !shown.nodes.length;
    drawGraph(card, shown, {});
  };
  search.addEventListener("input", show);
  return follow("/api/lineage", {}, { show: (answer) => { graph = answer; show(); }, fail: shared.fail, heal: shared.heal });
}

/** The part of a graph that these nodes come from, or that comes from them. */
export function related(graph, ...ids) {
  const kept = new Set(ids);
  for (const [from, to] of [[1, 0], [0, 1]]) {
    const open = [...ids];
    const seen = new Set(ids);
    while (open.length) {
      const node = open.pop();
      for (const edge of graph.edges) {
        if (edge[from] === node && !seen.has(edge[to])) {
          seen.add(edge[to]);
          open.push(edge[to]);
        }
      }
    }
    for (const one of seen) kept.add(one);
  }
  for (const [first, second] of graph.edges) if (kept.has(second) && first.startsWith("data:")) kept.add(first);
  return { nodes: graph.nodes.filter((node) => kept.has(node.id)), edges: graph.edges.filter((edge) => edge.every((one) => kept.has(one))) };
}

/** Draw a graph into an element. here: the node that the page is about. */
export function drawGraph(place, graph, { here }) {
  const spots = placed(graph);
  const all = [...spots.values()];
  const width = Math.max(...all.map(({ x }) => x), 0) + BOX.width + 2;
  const height = Math.max(...all.map(({ y }) => y), 0) + BOX.height + 2;
  const svg = draw("svg", { width, height, viewBox: `-1 -1 ${width} ${height}`, role: "group", "aria-label": "Lineage" });
  for (const [first, second] of graph.edges) {
    const [from, to] = [spots.get(first), spots.get(second)];
    if (!from || !to) continue;
    const [x1, y1, x2, y2] = [from.x + BOX.width, from.y + BOX.height / 2, to.x, to.y + BOX.height / 2];
    const middle = (x1 + x2) / 2;
    svg.append(draw("path", { class: "edge", d: `M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}`, "data-edge": `${first} > ${second}` }));
  }
  for (const node of graph.nodes) svg.append(box(node, spots.get(node.id), node.id === here));
  place.replaceChildren(make("div", { className: "scroll" }, svg));
}

function box(node, { x, y }, isHere) {
  const body = [
    draw("title", {}, `${KINDS[node.kind]}: ${node.title}${node.line ? `, ${node.line}` : ""}`),
    draw("rect", { x, y, width: BOX.width, height: BOX.height, rx: 8 }),
    draw("text", { x: x + 12, y: y + (node.line ? 19 : 28), class: "node-title" }, shortened(node.title, 23)),
    node.line ? draw("text", { x: x + 12, y: y + 36, class: "node-line" }, shortened(node.line, 30)) : null,
  ];
  const kind = `node ${node.kind}${isHere ? " here" : ""}`;
  if (!node.run) return draw("g", { class: kind, "data-node": node.id }, body);
  return draw("a", { class: kind, href: `#/run/${node.run}`, "data-node": node.id }, body);
}

const shortened = (text, most) => (text.length > most ? `…${text.slice(1 - most)}` : text);

/** Where each node is: its column is the longest way to it, its line near those of its neighbours. */
function placed(graph) {
  const [before, after] = [1, 0].map((side) => {
    const found = new Map(graph.nodes.map((node) => [node.id, []]));
    for (const edge of graph.edges) if (found.has(edge[1 - side])) found.get(edge[side])?.push(edge[1 - side]);
    return found;
  });
  const columns = [];
  for (const [id, depth] of depths(graph, before, after)) (columns[depth] ??= []).push(id);
  for (let column = 0; column < columns.length; column += 1) columns[column] ??= [];
  const lines = new Map();
  for (const ids of columns) ids.forEach((id, line) => lines.set(id, line));
  for (let turn = 0; turn < 6; turn += 1) {
    const around = turn % 2 ? after : before;
    for (const ids of turn % 2 ? [...columns].reverse() : columns) {
      const wanted = new Map(ids.map((id) => [id, mean(around.get(id).map((one) => lines.get(one)), lines.get(id))]));
      ids.sort((a, b) => wanted.get(a) - wanted.get(b)).forEach((id, line) => lines.set(id, line));
    }
  }
  return spread(columns, before, after);
}

/** The tallest column is a list; in the others each node is as near to its neighbours as the others leave room for. */
function spread(columns, before, after) {
  const step = BOX.height + BOX.down;
  const ys = new Map();
  const tallest = columns.reduce((most, ids, column) => (ids.length > columns[most].length ? column : most), 0);
  const order = [...columns.keys()].sort((a, b) => Math.abs(a - tallest) - Math.abs(b - tallest));
  for (const column of order) {
    let next = 0;
    const ids = columns[column];
    const wanted = ids.map((id, line) => mean([...before.get(id), ...after.get(id)].map((one) => ys.get(one)).filter((y) => y !== undefined), line * step));
    const got = ids.map((id, line) => {
      const y = column === tallest ? line * step : Math.max(wanted[line], next);
      next = y + step;
      return y;
    });
    const back = column === tallest ? 0 : mean(got.map((y, line) => y - wanted[line]), 0);
    ids.forEach((id, line) => ys.set(id, got[line] - back));
  }
  const top = Math.min(...ys.values());
  return new Map(columns.flatMap((ids, column) => ids.map((id) => [id, { x: column * (BOX.width + BOX.across), y: ys.get(id) - top }])));
}

const mean = (values, otherwise) => (values.length ? values.reduce((sum, one) => sum + one, 0) / values.length : otherwise);

/** The column of each node; what nothing leads to stands right before its first use. */
function depths(graph, before, after) {
  const found = new Map();
  const open = new Set();
  const depthOf = (id) => {
    if (found.has(id)) return found.get(id);
    if (open.has(id)) return 0; // a circle, which damaged files may claim
    open.add(id);
    found.set(id, before.get(id).reduce((most, one) => Math.max(most, depthOf(one) + 1), 0));
    return found.get(id);
  };
  for (const { id } of graph.nodes) depthOf(id);
  for (const { id } of graph.nodes) {
    if (!before.get(id).length && after.get(id).length) found.set(id, Math.max(0, Math.min(...after.get(id).map((one) => found.get(one))) - 1));
  }
  return found;
}
