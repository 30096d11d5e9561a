// A chart of curves. Hover it, or focus it and press the arrow keys, to read the values.

import { draw, make, number } from "./dom.js";

const HEIGHT = 230;
const MARGIN = { left: 52, right: 14, top: 12, bottom: 26 };

/** A chart with a title. Its element is `element`; `show(series)` draws it anew.
 * series: [{name, colour, points: [[x, y]], thin}], x in epochs. within: what values can be. `span`: epochs that are
 * shown at least. */
export class Chart {
  constructor(title, { format = number, unit = "epoch", within = null } = {}) {
    Object.assign(this, { format, unit, within });
    this.series = [];
    this.span = [];
    this.hidden = new Set();
    this.isLog = false;
    this.at = null; // the place that is read, of `this.xs`
    this.svg = draw("svg", { class: "plot", role: "img", tabindex: 0, "aria-label": title });
    this.tip = make("div", { className: "tip", hidden: true });
    this.legend = make("div", { className: "legend" });
    this.log = make("button", { type: "button", className: "small", textContent: "log", title: "Logarithmic axis" });
    this.log.setAttribute("aria-pressed", "false");
    this.log.onclick = () => {
      this.isLog = !this.isLog;
      this.log.setAttribute("aria-pressed", String(this.isLog));
      this.paint();
    };
    const head = make("div", { className: "chart-head" }, make("h2", { textContent: title }), this.log);
    this.element = make("figure", { className: "card chart" }, head, make("div", { className: "canvas" }, this.svg, this.tip), this.legend);
    this.svg.addEventListener("pointermove", (event) => this.read(this.nearest(event)));
    this.svg.addEventListener("pointerdown", (event) => this.read(this.nearest(event)));
    this.svg.addEventListener("pointerleave", () => this.read(null));
    this.svg.addEventListener("blur", () => this.read(null));
    this.svg.addEventListener("keydown", (event) => this.step(event));
    new ResizeObserver(() => this.paint()).observe(this.svg.parentElement);
  }

  show(series) {
    this.series = series.filter((one) => one.points.length);
    const values = this.series.flatMap((one) => one.points.map(([, y]) => y));
    this.log.hidden = !values.length || Math.min(...values) <= 0 || this.within !== null;
    if (this.log.hidden) this.isLog = false;
    this.legend.replaceChildren(...this.series.map((one) => this.entry(one)));
    this.legend.hidden = this.series.length < 2;
    this.paint();
  }

  entry(one) {
    const key = make("span", { className: "key" });
    key.style.background = one.colour;
    const button = make("button", { type: "button", className: "small entry", title: `Show or hide ${one.name}` }, key, make("span", { textContent: one.name }));
    button.setAttribute("aria-pressed", String(!this.hidden.has(one.name)));
    button.onclick = () => {
      if (!this.hidden.delete(one.name)) this.hidden.add(one.name);
      this.show(this.series);
    };
    return button;
  }

  get shown() {
    return this.series.filter((one) => !this.hidden.has(one.name));
  }

  paint() {
    this.width = Math.max(240, this.svg.parentElement.clientWidth);
    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${HEIGHT}`);
    const shown = this.shown;
    if (!shown.length) {
      this.svg.replaceChildren(label(this.width / 2, HEIGHT / 2, "no values yet", "middle"));
      this.xs = [];
      return;
    }
    const points = shown.flatMap((one) => one.points);
    this.xs = [...new Set(points.map(([x]) => x))].sort((a, b) => a - b);
    const [x1, x2] = [Math.min(this.xs[0], ...this.span.filter(Boolean)), Math.max(this.xs[this.xs.length - 1], ...this.span)];
    const [y1, y2] = this.range(points.map(([, y]) => y));
    const side = (value) => (this.isLog ? Math.log10(value) : value);
    const inner = { width: this.width - MARGIN.left - MARGIN.right, height: HEIGHT - MARGIN.top - MARGIN.bottom };
    this.x = (x) => MARGIN.left + (x2 > x1 ? (x - x1) / (x2 - x1) : 0.5) * inner.width;
    this.y = (y) => MARGIN.top + (1 - (side(y) - side(y1)) / (side(y2) - side(y1))) * inner.height;
    this.cursor = draw("g");
    this.svg.replaceChildren(...this.axes(x1, x2, y1, y2), ...shown.map((one) => this.curve(one)), this.cursor);
    if (this.at !== null) this.read(Math.min(this.at, this.xs.length - 1));
  }

  range(values) {
    let [low, high] = [Math.min(...values), Math.max(...values)];
    if (this.isLog) return [low / 1.15, high * 1.15];
    if (high === low) [low, high] = [low - (Math.abs(low) || 1) * 0.1, high + (Math.abs(high) || 1) * 0.1];
    const space = (high - low) * 0.08;
    const [least, most] = this.within ?? [low >= 0 ? 0 : -Infinity, Infinity];
    return [Math.max(least, low - space), Math.min(most, high + space)];
  }

  axes(x1, x2, y1, y2) {
    const parts = [];
    const ys = this.isLog ? logTicks(y1, y2) : ticks(y1, y2, 5);
    for (const y of ys) {
      parts.push(draw("line", { class: "grid", x1: MARGIN.left, x2: this.width - MARGIN.right, y1: this.y(y), y2: this.y(y) }));
      parts.push(label(MARGIN.left - 7, this.y(y) + 4, number(y), "end"));
    }
    const xs = ticks(x1, x2, Math.max(2, Math.floor(this.width / 80))).filter(Number.isInteger);
    for (const x of xs) parts.push(label(this.x(x), HEIGHT - 8, String(x), "middle"));
    return parts;
  }

  curve(one) {
    const path = one.points.map(([x, y], index) => `${index ? "L" : "M"}${this.x(x).toFixed(1)} ${this.y(y).toFixed(1)}`).join("");
    const parts = [draw("path", { d: path, class: one.thin ? "curve thin" : "curve", stroke: one.colour })];
    if (one.points.length < 40) {
      for (const [x, y] of one.points) parts.push(draw("circle", { cx: this.x(x), cy: this.y(y), r: one.thin ? 1.8 : 2.6, fill: one.colour }));
    }
    return draw("g", {}, parts);
  }

  nearest(event) {
    const box = this.svg.getBoundingClientRect();
    const place = ((event.clientX - box.left) / box.width) * this.width;
    let best = null;
    this.xs.forEach((x, index) => {
      if (best === null || Math.abs(this.x(x) - place) < Math.abs(this.x(this.xs[best]) - place)) best = index;
    });
    return best;
  }

  step(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Escape") this.read(null);
    if (!by || !this.xs.length) return;
    event.preventDefault();
    const at = this.at === null ? (by > 0 ? 0 : this.xs.length - 1) : this.at + by;
    this.read(Math.min(Math.max(at, 0), this.xs.length - 1));
  }

  read(at) {
    this.at = at;
    this.tip.hidden = at === null || !this.xs.length;
    if (this.cursor) this.cursor.replaceChildren();
    if (this.tip.hidden) return;
    const x = this.xs[at];
    const found = this.shown.map((one) => [one, one.points.find(([place]) => place === x)]).filter(([, point]) => point);
    this.cursor.append(draw("line", { class: "cursor", x1: this.x(x), x2: this.x(x), y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom }));
    for (const [one, [, y]] of found) this.cursor.append(draw("circle", { cx: this.x(x), cy: this.y(y), r: 4.5, fill: one.colour, class: "spot" }));
    this.tip.replaceChildren(
      make("div", { className: "tip-head", textContent: `${this.unit} ${x}` }),
      ...found.map(([one, [, y]]) => {
        const key = make("span", { className: "key" });
        key.style.background = one.colour;
        return make("div", { className: "tip-row" }, key, make("span", { className: "tip-name", textContent: one.name }), make("b", { textContent: this.format(y) }));
      }),
    );
    const scale = this.svg.getBoundingClientRect().width / this.width || 1;
    const isRight = this.x(x) > this.width / 2;
    this.tip.style.left = isRight ? "auto" : `${this.x(x) * scale + 12}px`;
    this.tip.style.right = isRight ? `${(this.width - this.x(x)) * scale + 12}px` : "auto";
  }
}

function label(x, y, text, anchor) {
  return draw("text", { class: "tick", x, y, "text-anchor": anchor }, text);
}

/** Round values between two, about as many as wanted. */
export function ticks(low, high, wanted) {
  if (!(high > low)) return [low];
  const rough = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-9; value += step) found.push(Number(value.toPrecision(12)));
  return found;
}

function logTicks(low, high) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) {
    for (const digit of [1, 2, 5]) if (digit * 10 ** power >= low && digit * 10 ** power <= high) found.push(digit * 10 ** power);
  }
  return found.length > 7 ? found.filter((_, index) => index % 3 === 0) : found;
}
