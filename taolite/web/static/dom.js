// Elements, and numbers as text. Whatever comes from files is put in as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";
const COLOURS = ["#3b82f6", "#f0883e", "#2ea56f", "#c9519f", "#8b6cf0", "#d9534f", "#12a3b8", "#a3862a", "#7a8699", "#5f9e2f", "#b06a4a", "#4c63b6"];

export const byId = (id) => document.getElementById(id);

/** An element; children are elements or texts, and those that are null or false are left out. */
export function make(kind, properties = {}, ...children) {
  const element = document.createElement(kind);
  fill(element, properties);
  element.append(...kept(children));
  return element;
}

/** The same of SVG. */
export function draw(kind, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, kind);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...kept(children));
  return element;
}

function fill(element, properties) {
  for (const [name, value] of Object.entries(properties)) {
    if (name === "data") Object.assign(element.dataset, value);
    else if (name === "style") Object.assign(element.style, value);
    else if (/^(aria-.*|role|scope|for|colspan)$/.test(name)) element.setAttribute(name, value);
    else element[name] = value;
  }
}

const kept = (children) => children.flat().filter((one) => one !== null && one !== undefined && one !== false);

/** A colour for the thing in this place of a list. */
export const colour = (place) => COLOURS[place % COLOURS.length];

/** A fraction as a score; a dash for none. */
export const score = (value) => (typeof value === "number" ? value.toFixed(4) : "–");

/** A number with as many digits as it needs. */
export function number(value) {
  if (typeof value !== "number") return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return Number(value.toPrecision(3)).toExponential();
  return String(Number(value.toPrecision(4)));
}

export const counted = (count, noun, plural = `${noun}s`) => `${count.toLocaleString("en")} ${count === 1 ? noun : plural}`;

/** Seconds in words: 45 s, 12 min, 3 h 05 min, 2 d 4 h. */
export function duration(seconds) {
  if (typeof seconds !== "number") return "–";
  const minutes = Math.round(seconds / 60);
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (minutes < 60) return `${minutes} min`;
  if (minutes < 1440) return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
  return `${Math.floor(minutes / 1440)} d ${Math.floor((minutes % 1440) / 60)} h`;
}

/** A time of the clock: 2026-11-30 20:51. */
export function when(seconds) {
  if (typeof seconds !== "number") return "–";
  const time = new Date(seconds * 1000);
  const two = (value) => String(value).padStart(2, "0");
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ${two(time.getHours())}:${two(time.getMinutes())}`;
}

/** A state as a badge. */
export const badge = (state) => make("span", { className: `badge ${state}`, textContent: state });

/** A link to a run. */
export const linkTo = (run) => make("a", { href: `#/run/${run.id}`, textContent: run.name });
