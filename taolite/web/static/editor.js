// Boxes over a picture: draw, choose, move, resize, delete. Boxes are [x1, y1, x2, y2] in pixels of the picture.

const SVG = "http://www.w3.org/2000/svg";
const LEAST = 4; // pixels on the screen; a smaller drag is a click
const SMALLEST = 2; // pixels of the picture
const GRIP = 9; // pixels on the screen
const GRIPS = [
  ["nw", 0, 0], ["n", 0.5, 0], ["ne", 1, 0], ["e", 1, 0.5], ["se", 1, 1], ["s", 0.5, 1], ["sw", 0, 1], ["w", 0, 0.5],
];

export class Editor {
  /** name(): the class of a new box. colour(name). changed(): after every change of the boxes or of the chosen one. */
  constructor(svg, { name, colour, changed }) {
    Object.assign(this, { svg, name, colour, changed });
    this.boxes = [];
    this.chosen = null;
    this.width = this.height = 1;
    this.history = [];
    this.drag = null;
    this.pointer = null;
    svg.addEventListener("pointerdown", (event) => this.begin(event));
    svg.addEventListener("pointermove", (event) => this.move(event));
    svg.addEventListener("pointerup", (event) => this.end(event));
    svg.addEventListener("pointercancel", () => this.cancel());
    svg.addEventListener("pointerleave", () => { this.pointer = null; this.draw(); });
  }

  /** Show `boxes`, [{name, box, was}], over a picture of this size. */
  load(width, height, boxes) {
    Object.assign(this, { width, height, chosen: null, drag: null, history: [] });
    this.boxes = boxes.map((one) => ({ ...one, box: [...one.box] }));
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.tell();
  }

  /** Whether the boxes were changed since `load`. */
  get isChanged() {
    return this.history.length > 0;
  }

  choose(index) {
    this.chosen = index;
    this.tell();
  }

  remove(index) {
    this.remember();
    this.boxes.splice(index, 1);
    this.chosen = null;
    this.tell();
  }

  rename(index, name) {
    if (this.boxes[index].name === name) return;
    this.remember();
    this.boxes[index] = { ...this.boxes[index], name };
    this.tell();
  }

  /** Put these boxes in place of the present ones; can be taken back. */
  replace(boxes) {
    this.remember();
    this.boxes = boxes;
    this.chosen = null;
    this.tell();
  }

  /** Take back the last change. */
  back() {
    this.boxes = this.history.pop();
    this.chosen = null;
    this.tell();
  }

  /** End a drag without a change; true where there was one. */
  cancel() {
    if (!this.drag) return false;
    this.boxes = this.drag.before;
    this.drag = null;
    this.tell();
    return true;
  }

  remember(before = this.boxes) {
    this.history.push(before.map((one) => ({ ...one, box: [...one.box] })));
  }

  tell() {
    this.draw();
    this.changed();
  }

  /** Pixels of the picture in one pixel of the screen. */
  get scale() {
    return this.width / Math.max(1, this.svg.getBoundingClientRect().width);
  }

  at(event) {
    const area = this.svg.getBoundingClientRect();
    const x = ((event.clientX - area.left) / area.width) * this.width;
    const y = ((event.clientY - area.top) / area.height) * this.height;
    return [Math.min(Math.max(x, 0), this.width), Math.min(Math.max(y, 0), this.height)];
  }

  begin(event) {
    if (event.button !== 0 || this.drag) return;
    event.preventDefault();
    this.svg.setPointerCapture(event.pointerId);
    const { grip, index } = event.target.dataset;
    const place = index === undefined || event.shiftKey ? null : Number(index);
    this.drag = {
      from: this.at(event),
      index: place,
      grip: place === null ? null : grip,
      old: place === null ? null : [...this.boxes[place].box],
      before: this.boxes.map((one) => ({ ...one, box: [...one.box] })),
      moved: false,
    };
    if (place !== this.chosen) this.choose(place);
  }

  move(event) {
    this.pointer = event.pointerType === "touch" ? null : this.at(event);
    const drag = this.drag;
    if (!drag) return this.draw();
    const [x, y] = this.at(event);
    const [dx, dy] = [x - drag.from[0], y - drag.from[1]];
    if (!drag.moved && Math.hypot(dx, dy) < LEAST * this.scale) return undefined;
    if (!drag.moved && drag.index === null) {
      this.boxes.push({ name: this.name(), box: [0, 0, 0, 0], was: null });
      drag.index = this.chosen = this.boxes.length - 1;
      drag.isNew = true;
    }
    drag.moved = true;
    this.boxes[drag.index].box = drag.isNew ? between(drag.from, [x, y]) : this.dragged(drag, dx, dy);
    return this.tell();
  }

  dragged({ old, grip }, dx, dy) {
    if (!grip) {
      const across = Math.min(Math.max(dx, -old[0]), this.width - old[2]);
      const down = Math.min(Math.max(dy, -old[1]), this.height - old[3]);
      return [old[0] + across, old[1] + down, old[2] + across, old[3] + down];
    }
    const [x1, y1, x2, y2] = old;
    const low = [grip.includes("w") ? x1 + dx : x1, grip.includes("n") ? y1 + dy : y1];
    const high = [grip.includes("e") ? x2 + dx : x2, grip.includes("s") ? y2 + dy : y2];
    return between(low, high).map((value, axis) => Math.min(Math.max(value, 0), axis % 2 ? this.height : this.width));
  }

  end(event) {
    const drag = this.drag;
    if (!drag) return;
    this.move(event);
    this.drag = null;
    if (!drag.moved) return;
    const [x1, y1, x2, y2] = this.boxes[drag.index].box;
    if (x2 - x1 < SMALLEST || y2 - y1 < SMALLEST) {
      this.boxes = drag.before;
      this.chosen = null;
    } else {
      this.remember(drag.before);
    }
    this.tell();
  }

  draw() {
    const scale = this.scale;
    const shapes = [];
    if (this.pointer && !this.drag && this.chosen === null) shapes.push(...this.guides());
    const order = this.boxes.map((_, index) => index).sort((a, b) => area(this.boxes[b]) - area(this.boxes[a]));
    if (this.chosen !== null) order.push(...order.splice(order.indexOf(this.chosen), 1));
    for (const index of order) shapes.push(this.shape(index, scale));
    this.svg.replaceChildren(...shapes);
  }

  guides() {
    const [x, y] = this.pointer;
    return [
      make("line", { class: "guide", x1: x, x2: x, y1: 0, y2: this.height }),
      make("line", { class: "guide", x1: 0, x2: this.width, y1: y, y2: y }),
    ];
  }

  shape(index, scale) {
    const { name, box: [x1, y1, x2, y2] } = this.boxes[index];
    const colour = this.colour(name);
    const group = make("g", { class: index === this.chosen ? "box chosen" : "box" });
    const size = { x: x1, y: y1, width: x2 - x1, height: y2 - y1 };
    group.append(make("rect", { class: "body", ...size, stroke: colour, "data-index": index }));
    const text = make("text", {
      x: x1 + 2 * scale,
      y: y1 > 20 * scale ? y1 - 6 * scale : y1 + 16 * scale,
      "font-size": 14 * scale,
      stroke: "rgba(0, 0, 0, .8)",
      "stroke-width": 3 * scale,
      "paint-order": "stroke",
    });
    text.textContent = name;
    group.append(text);
    if (index === this.chosen) {
      const side = GRIP * scale;
      for (const [grip, across, down] of GRIPS) {
        const place = { x: x1 + across * (x2 - x1) - side / 2, y: y1 + down * (y2 - y1) - side / 2 };
        const mark = make("rect", { class: "grip", ...place, width: side, height: side, "data-index": index, "data-grip": grip });
        mark.style.cursor = `${grip}-resize`;
        group.append(mark);
      }
    }
    return group;
  }
}

function between([ax, ay], [bx, by]) {
  return [Math.min(ax, bx), Math.min(ay, by), Math.max(ax, bx), Math.max(ay, by)];
}

function area({ box: [x1, y1, x2, y2] }) {
  return (x2 - x1) * (y2 - y1);
}

function make(kind, attributes) {
  const element = document.createElementNS(SVG, kind);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}
