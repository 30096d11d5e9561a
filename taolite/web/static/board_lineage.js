// What came from what, drawn from left to right: data and weights, runs, pruned models, runs on them, exports.

import { draw, make } from "./dom.js";
import { follow } from "./feed.js";

const BOX = { width: 210, height: 46, across: 70, down: 14 };
const KINDS = { data: "data", weights: "weights of no run here", run: "run", pruned: "pruned model", export: "export" };

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
  for (const [first, second] of graph.edges) if (kept.has(second) && first.startsWith("data ")) kept.add(first);
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
    draw("text", { x: x + 12, y: y + (node.line ? 19 : 28), class: "node-title" }, shortened(node.title, 26)),
    node.line ? draw("text", { x: x + 12, y: y + 36, class: "node-line" }, shortened(node.line, 32)) : null,
  ];
  const kind = `node ${node.kind}${isHere ? " here" : ""}`;
  if (!node.run) return draw("g", { class: kind, "data-node": node.id }, body);
  return draw("a", { class: kind, href: `#/run/${node.run}`, "data-node": node.id }, body);
}

const shortened = (text, most) => (text.length > most ? `…${text.slice(1 - most)}` : text);

/** Where each node is: its column is the longest way to it, its line near those of what it came from. */
function placed(graph) {
  const before = new Map(graph.nodes.map((node) => [node.id, []]));
  for (const [first, second] of graph.edges) if (before.has(first)) before.get(second)?.push(first);
  const depth = new Map();
  const depthOf = (id, open) => {
    if (!depth.has(id)) {
      if (open.has(id)) return 0; // a circle, which damaged files may claim
      open.add(id);
      depth.set(id, before.get(id).reduce((most, one) => Math.max(most, depthOf(one, open) + 1), 0));
    }
    return depth.get(id);
  };
  for (const node of graph.nodes) depthOf(node.id, new Set());
  for (const { id } of graph.nodes) if (!before.get(id).length && graph.edges.some(([first]) => first === id)) depth.set(id, Math.max(0, firstUse(id, graph, depth) - 1));
  const columns = [];
  for (const node of graph.nodes) (columns[depth.get(node.id)] ??= []).push(node);
  const spots = new Map();
  columns.forEach((nodes, column) => {
    const wanted = (node) => {
      const ys = before.get(node.id).map((one) => spots.get(one)?.y).filter((y) => y !== undefined);
      return ys.length ? ys.reduce((sum, y) => sum + y, 0) / ys.length : 0;
    };
    const order = nodes.map((node) => [wanted(node), node]).sort(([a], [b]) => a - b);
    order.forEach(([, node], place) => spots.set(node.id, { x: column * (BOX.width + BOX.across), y: place * (BOX.height + BOX.down) }));
  });
  centre(columns, spots);
  return spots;
}

function firstUse(id, graph, depth) {
  return Math.min(...graph.edges.filter(([first]) => first === id).map(([, second]) => depth.get(second) ?? 1), depth.size);
}

/** Put short columns in the middle of the tallest one. */
function centre(columns, spots) {
  const tallest = Math.max(...columns.map((nodes) => nodes?.length ?? 0), 0);
  for (const nodes of columns) {
    const space = ((tallest - (nodes?.length ?? 0)) * (BOX.height + BOX.down)) / 2;
    for (const node of nodes ?? []) spots.get(node.id).y += space;
  }
}
