// The panel beside the picture: classes with their counts, sets, boxes. Names are shown as text, never as markup.

export const byId = (id) => document.getElementById(id);

/** A colour for the class in this place of the list; grey for a name that is not in the list. */
export function colourOf(place) {
  return place < 0 ? "#9aa4b2" : `hsl(${(place * 137.5 + 210) % 360} 85% 58%)`;
}

export function make(kind, properties = {}, ...children) {
  const element = document.createElement(kind);
  Object.assign(element, properties);
  element.append(...children);
  return element;
}

/** The table of classes. counts are of pictures, or of boxes. choose(name). */
export function showClasses({ classes, sets, pictures, kind }, { set, name, choose }) {
  const columns = sets.length ? sets : [""];
  const now = (one) => (columns.length > 1 && one === set ? "now" : "");
  const heads = columns.map((one) => make("th", { textContent: one || "boxes", className: now(one), scope: "col" }));
  byId("head").replaceChildren(make("th", { textContent: kind === "folders" ? "pictures of" : "boxes of", scope: "col" }), ...heads);
  byId("rows").replaceChildren(
    ...classes.map((one, place) => {
      const dot = make("span", { className: "dot" });
      dot.style.background = colourOf(place);
      const button = make("button", { className: "class", type: "button", title: one.name });
      button.append(make("kbd", { textContent: place < 9 ? place + 1 : " " }), dot, make("span", { textContent: one.name }));
      const row = make("tr", { onclick: () => choose(one.name) }, make("td", {}, button));
      row.setAttribute("aria-selected", String(one.name === name));
      row.append(...columns.map((column) => make("td", { textContent: one.counts[column], className: now(column) })));
      return row;
    }),
  );
  const sums = columns.map((one) => make("td", { textContent: pictures[one], className: now(one) }));
  byId("foot").replaceChildren(make("td", { textContent: kind === "folders" ? "all pictures" : "labelled pictures" }), ...sums);
}

/** The buttons of the sets. choose(set). */
export function showSets(sets, { set, choose }) {
  const keys = { train: "T", val: "V", test: "E" };
  byId("sets").replaceChildren(
    ...sets.map((one) => {
      const button = make("button", { type: "button", onclick: () => choose(one) }, one, " ", make("kbd", { textContent: keys[one] }));
      button.setAttribute("aria-pressed", String(one === set));
      return button;
    }),
  );
}

/** The list of boxes, each with its class. */
export function showBoxes(editor, names) {
  byId("no-boxes").hidden = editor.boxes.length > 0;
  byId("found").replaceChildren(
    ...editor.boxes.map(({ name, box: [x1, y1, x2, y2] }, index) => {
      const dot = make("span", { className: "dot" });
      dot.style.background = colourOf(names.indexOf(name));
      const select = make("select", { onchange: () => editor.rename(index, select.value) });
      select.setAttribute("aria-label", `Class of box ${index + 1}`);
      const known = names.includes(name) ? names : [...names, name];
      select.append(...known.map((one) => make("option", { value: one, textContent: one, selected: one === name })));
      const size = make("small", { textContent: `${Math.round(x2 - x1)}×${Math.round(y2 - y1)}` });
      const remove = make("button", { type: "button", textContent: "×", title: "Delete this box", onclick: () => editor.remove(index) });
      remove.setAttribute("aria-label", `Delete box ${index + 1}`);
      const row = make("div", { className: index === editor.chosen ? "found chosen" : "found" }, dot, select, size, remove);
      row.addEventListener("pointerdown", (event) => {
        if (event.target === row || event.target === dot || event.target === size) editor.choose(index);
      });
      return row;
    }),
  );
}

/** The keys that work now: [[keys, what]]. */
export function showKeys(rows) {
  byId("keys").replaceChildren(
    ...rows.flatMap(([keys, what]) => [
      make("dt", {}, ...keys.map((key) => make("kbd", { textContent: key }))),
      make("dd", { textContent: what }),
    ]),
  );
}
