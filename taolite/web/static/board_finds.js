// The pictures of the last validation with what was found in them. The threshold is moved without the server.

import { address } from "./api.js";
import { isMapping } from "./curves.js";
import { colour, counted, draw, make } from "./dom.js";
import { once } from "./feed.js";
import { matched, prepared } from "./matching.js";

const AT_ONCE = 24; // pictures that are added at a time
const MOST_TEXTS = 8; // on a small picture; with more boxes they would hide it
const MOST_CHIPS = 60; // classes that can be shown and hidden
const SHOWN = { all: "every picture", mistakes: "with mistakes", wrong: "with wrong finds", missed: "with missed objects" };
const ORDERS = { recorded: "in their order", worst: "most mistakes first", name: "by name" };

/** Gives update(data), which is called whenever the run has changed. */
export function findsTab(place, id) {
  const note = make("div", { className: "empty" });
  place.append(note);
  let browser = null;
  let last = null;
  const update = (data) => {
    const { run, hasFinds, scorecard } = data;
    if (hasFinds && last === run.updated) return;
    last = run.updated;
    if (!hasFinds) {
      note.replaceChildren(...howTo(data));
      note.hidden = false;
      return;
    }
    once("/api/finds", { id }).then((finds) => {
      note.hidden = true;
      browser?.end();
      browser = new Browser(place, id, finds, scorecard);
    }, (error) => {
      note.textContent = error.message;
      note.hidden = false;
    });
  };
  update.end = () => browser?.end();
  return update;
}

function howTo({ run, folder, facts }) {
  if (run.state === "running") return [make("p", { textContent: "What the model finds in the validation pictures is recorded at the end of the training." })];
  const name = typeof facts.name === "string" ? facts.name : "model";
  const [spec, model, results] = ["/experiment_spec.txt", `/weights/${name.replace(/\.tlt$/, "")}.tlt`, ""].map((part) => quoted(folder + part));
  return [
    make("p", { textContent: "This run has no finds.json: it has not ended, or was trained before taolite recorded finds. Evaluate its model into its own folder to have them here:" }),
    make("pre", { className: "command", textContent: `taolite ${run.task || "detectnet"} evaluate -e ${spec} -m ${model} -k KEY -r ${results}` }),
  ];
}

/** A path as a shell reads it. */
const quoted = (path) => (/^[\w./@%+=:,-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`);

class Browser {
  constructor(place, id, finds, scorecard) {
    this.id = id;
    this.classes = finds.classes;
    this.pictures = finds.pictures.map((one, index) => ({ ...prepared(one), index, name: one.image.split("/").pop() }));
    this.hasBoxes = this.pictures.some((one) => [...one.truth.map((row) => row[1]), ...one.finds.map((find) => find.box)].some(Boolean));
    this.isOne = !this.hasBoxes && this.pictures.every((one) => one.truth.length === 1);
    this.best = bestOf(scorecard, this.classes);
    this.usesBest = this.best !== null;
    this.off = new Set();
    this.cards = new Map();
    this.most = AT_ONCE;
    this.build(place, finds);
    this.recount();
    this.list();
  }

  build(place, finds) {
    const top = Math.max(1, ...this.pictures.flatMap((one) => one.finds.map((find) => find.score)));
    this.slider = make("input", { type: "range", id: "threshold", min: 0, max: Math.ceil(top * 100) / 100, step: 0.01, value: 0.5 });
    this.slider.setAttribute("aria-label", "Least score of a find that is shown");
    this.value = make("output", { id: "threshold-value" });
    this.slider.oninput = () => { this.setBest(false); this.changed(); };
    this.slider.onchange = () => this.list();
    this.bestButton = make("button", { type: "button", id: "use-best", textContent: "best of each class", hidden: this.best === null, onclick: () => { this.setBest(!this.usesBest); this.changed(); this.list(); } });
    const [only, order] = [["only", SHOWN], ["order", ORDERS]].map(([key, texts]) => {
      const select = make("select", { id: `finds-${key}`, onchange: () => { this.most = AT_ONCE; this.list(); } }, ...Object.entries(texts).map(([value, text]) => make("option", { value, textContent: text })));
      select.setAttribute("aria-label", key === "only" ? "Which pictures" : "Their order");
      return select;
    });
    Object.assign(this, { only, order });
    this.sums = make("div", { className: "sums", id: "sums", role: "status" });
    const chips = make("div", { className: "chips" }, ...this.classes.slice(0, MOST_CHIPS).map((name, kind) => this.chip(name, kind)));
    this.grid = make("div", { className: "pictures", id: "pictures" });
    this.more = make("button", { type: "button", id: "more", onclick: () => { this.most += AT_ONCE; this.list(); } });
    this.dialog = make("dialog", { tabIndex: -1 });
    this.dialog.addEventListener("keydown", (event) => this.key(event));
    this.dialog.addEventListener("click", (event) => { if (event.target === this.dialog) this.dialog.close(); });
    const part = finds.of > this.pictures.length ? `${this.pictures.length} of ${counted(finds.of, "validation picture")} are recorded, at even distances` : counted(finds.of, "validation picture");
    this.element = make(
      "div", { className: "finds" },
      make("div", { className: "card controls" },
        make("div", { className: "row" }, make("label", { className: "slide" }, "Threshold ", this.slider, this.value), this.bestButton, only, order),
        this.sums, this.classes.length > 1 && this.classes.length <= MOST_CHIPS && chips,
        make("p", { className: "quiet small-text", textContent: part + (this.hasBoxes ? ". A find is right where it overlaps a label of its class by an IoU of 0.5 or more." : ".") })),
      this.grid, this.more, this.dialog,
    );
    place.append(this.element);
    this.watcher = new IntersectionObserver(([entry]) => { if (entry.isIntersecting && !this.more.hidden) this.more.click(); }, { rootMargin: "400px" });
    this.watcher.observe(this.more);
    this.setBest(this.usesBest);
  }

  end() {
    this.watcher.disconnect();
    this.element.remove();
  }

  chip(name, kind) {
    const dot = make("span", { className: "key" });
    dot.style.background = colour(kind);
    const button = make("button", { type: "button", className: "small entry", title: `Show or hide ${name}` }, dot, make("span", { textContent: name }));
    button.setAttribute("aria-pressed", "true");
    button.onclick = () => {
      if (!this.off.delete(kind)) this.off.add(kind);
      button.setAttribute("aria-pressed", String(!this.off.has(kind)));
      this.changed();
      this.list();
    };
    return button;
  }

  setBest(uses) {
    this.usesBest = uses && this.best !== null;
    this.bestButton.setAttribute("aria-pressed", String(this.usesBest));
  }

  /** After another threshold or class: the sums and the pictures that are on the page. */
  changed() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = null;
      this.recount();
      for (const [index, card] of this.cards) if (card.element.isConnected) this.drawOn(card, this.pictures[index]);
      if (this.dialog.open) this.showBig(this.at);
    });
  }

  recount() {
    const least = this.usesBest ? (kind) => this.best[kind] : () => Number(this.slider.value);
    this.value.textContent = this.usesBest ? "best" : Number(this.slider.value).toFixed(2);
    const sums = { right: 0, wrong: 0, missed: 0 };
    for (const one of this.pictures) {
      one.match = matched(one, { least, wanted: (kind) => !this.off.has(kind), isOne: this.isOne });
      for (const key of Object.keys(sums)) sums[key] += one.match[key].length;
    }
    const { right, wrong, missed } = sums;
    const [precision, recall] = [right / (right + wrong), right / (right + missed)];
    const f1 = (2 * right) / (2 * right + wrong + missed);
    const ratio = (value) => (Number.isFinite(value) ? value.toFixed(3) : "–");
    this.sums.replaceChildren(
      ...[["right", right], ["wrong", wrong], ["missed", missed]].map(([kind, count]) => make("span", { className: `sum ${kind}`, data: { kind } }, make("span", { className: "mark" }), make("b", { textContent: count }), ` ${kind}`)),
      make("span", { className: "quiet", textContent: `precision ${ratio(precision)}, recall ${ratio(recall)}, F1 ${ratio(f1)}` }),
    );
  }

  list() {
    if (this.frame) this.recount(); // a change of the slider that is not drawn yet
    const mistakes = (one) => one.match.wrong.length + one.match.missed.length;
    const fits = { all: () => true, mistakes, wrong: (one) => one.match.wrong.length, missed: (one) => one.match.missed.length }[this.only.value];
    this.chosen = this.pictures.filter(fits);
    if (this.order.value === "worst") this.chosen.sort((a, b) => mistakes(b) - mistakes(a));
    if (this.order.value === "name") this.chosen.sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
    const shown = this.chosen.slice(0, this.most).map((one) => this.card(one));
    this.grid.replaceChildren(...shown.length ? shown : [make("p", { className: "empty", textContent: "No picture has that at this threshold." })]);
    this.more.hidden = this.chosen.length <= this.most;
    this.more.textContent = `Show more of ${counted(this.chosen.length, "picture")}`;
  }

  card(one) {
    let card = this.cards.get(one.index);
    if (!card) {
      card = this.view(one, 480);
      const button = make("button", { type: "button", className: "open", title: one.image, onclick: () => this.showBig(this.chosen.indexOf(one)) }, card.frame);
      button.setAttribute("aria-label", `Open ${one.name}`);
      card.caption = make("figcaption");
      card.element = make("figure", { className: "card picture", data: { index: one.index } }, button, card.caption);
      this.cards.set(one.index, card);
    }
    this.drawOn(card, one);
    return card.element;
  }

  /** A picture with room for boxes on it. */
  view(one, width) {
    const [height, across] = one.size_hw;
    const image = make("img", { alt: "", loading: "lazy", decoding: "async", src: address("/api/picture", { id: this.id, index: one.index, width }) });
    const svg = draw("svg", { viewBox: `0 0 ${across} ${height}`, "aria-hidden": "true" });
    const frame = make("span", { className: "frame" }, image, svg);
    image.onerror = () => {
      image.remove();
      frame.append(make("span", { className: "gone", textContent: "This picture is not there any more, or cannot be read." }));
    };
    return { frame, svg };
  }

  drawOn(card, one) {
    const [height, width] = one.size_hw;
    const size = card.isBig ? Math.max(width, height) / 900 : Math.max(width / 280, height / 210); // a pixel of the page
    const things = Object.entries(one.match).flatMap(([kind, list]) => list.map((thing) => [kind, thing])).filter(([, thing]) => thing.box);
    const hasTexts = card.isBig || things.length <= MOST_TEXTS;
    card.svg.replaceChildren(...things.map(([kind, thing]) => this.shape(kind, thing, hasTexts && { size, width })));
    const { right, wrong, missed } = one.match;
    card.caption.replaceChildren(
      ...(card.isBig ? [] : [make("span", { className: "name", textContent: one.name, title: one.image })]),
      this.hasBoxes
        ? make("span", { className: "quiet tally", textContent: `${right.length} right, ${wrong.length} wrong, ${missed.length} missed` })
        : make("span", { className: "answers" }, ...this.answers(one)),
    );
    card.element?.classList.toggle("bad", wrong.length + missed.length > 0);
  }

  /** A box; with `texts`, the size of a pixel of the page and the width of the picture, its class and score. */
  shape(kind, { kind: place, box: [x1, y1, x2, y2], score }, texts) {
    const name = this.classes[place];
    const text = score === undefined ? name : `${name} ${score.toFixed(2)}`;
    const parts = [draw("rect", { x: x1, y: y1, width: Math.max(0, x2 - x1), height: Math.max(0, y2 - y1), "vector-effect": "non-scaling-stroke" })];
    if (texts) {
      const { size, width } = texts;
      const high = 11 * size;
      const isLeft = x1 + text.length * high * 0.6 < width;
      parts.push(draw("text", { x: isLeft ? x1 + size : x2 - size, y: y1 > high * 1.3 ? y1 - 3 * size : y1 + high, "font-size": high, "stroke-width": 2.6 * size, "text-anchor": isLeft ? "start" : "end" }, text));
    }
    return draw("g", { class: `shape ${kind}` }, draw("title", {}, `${kind}: ${text}`), parts);
  }

  /** The classes of a classified picture: its own, and what was found. */
  answers(one) {
    const own = new Set(one.truth.map(([kind]) => kind));
    const rows = one.finds.slice(0, 4).map((find) => {
      const { kind, score } = find;
      const bar = make("span", { className: "bar" });
      bar.style.width = `${100 * Math.min(1, score)}%`;
      return make("span", { className: `answer${own.has(kind) ? " own" : ""}${one.match.wrong.includes(find) ? " wrong" : ""}` }, make("span", { className: "name", textContent: this.classes[kind] }), make("span", { textContent: score.toFixed(2) }), bar);
    });
    const missing = [...own].filter((kind) => !one.finds.slice(0, 4).some((find) => find.kind === kind));
    return [...rows, ...missing.map((kind) => make("span", { className: "answer missing", textContent: `is ${this.classes[kind]}` }))];
  }

  showBig(at) {
    const one = this.chosen[at];
    if (!one) return;
    this.at = at;
    const card = { ...this.view(one, 1920), isBig: true, caption: make("figcaption") };
    this.drawOn(card, one);
    const go = (by, text) => make("button", { type: "button", textContent: text, disabled: !this.chosen[at + by], onclick: () => this.showBig(at + by) });
    const head = make("div", { className: "row" }, make("b", { textContent: one.name, title: one.image }), make("span", { className: "quiet", textContent: `${at + 1} of ${this.chosen.length}` }), make("span", { className: "space" }), go(-1, "← Previous"), go(1, "Next →"), make("button", { type: "button", textContent: "Close", onclick: () => this.dialog.close() }));
    this.dialog.replaceChildren(head, make("figure", {}, card.frame, card.caption));
    const [height, width] = one.size_hw;
    card.frame.style.aspectRatio = `${width} / ${height}`;
    card.frame.style.width = `min(92vw, calc(78vh * ${width / height}))`;
    if (!this.dialog.open) this.dialog.showModal();
    this.dialog.focus(); // the keys go on
  }

  key(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    this.showBig(this.at + by);
  }
}

/** The threshold with the best F1 of each class, in their order; null where there are none. */
function bestOf(scorecard, classes) {
  const best = scorecard?.card?.best;
  if (!isMapping(best) || !Object.keys(best).length) return null;
  return classes.map((name) => (typeof best[name]?.threshold === "number" ? best[name].threshold : 0.5));
}
