// Making elements, and numbers as text. Texts become text nodes and nothing else: no function here reads HTML.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat()) {
    if (child !== null && child !== undefined) node.append(child instanceof Node ? child : String(child));
  }
  return node;
}

export const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
export const svg = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

// A section with a heading; `tools` stand beside it, `hint` below.
export function panel(title, { hint = null, tools = [] } = {}, ...children) {
  const id = `panel-${title.toLowerCase().replace(/\W+/g, "-")}`;
  return el("section", { class: "panel", "aria-labelledby": id },
    el("header", {}, el("h2", { id }, title), el("div", { class: "row" }, tools), hint ? el("p", { class: "hint" }, hint) : null),
    ...children);
}

export function tile(name, value, hint = "", words = false) {
  return el("div", { class: "tile" }, el("dt", {}, name), el("dd", { class: words ? "words" : null }, value),
    hint ? el("dd", { class: "hint" }, hint) : null);
}

// columns: [{ name, number }]; rows: arrays of cells, the first of which names the row.
export function table(columns, rows, { cards = false, marked = -1 } = {}) {
  const head = columns.map((column) => el("th", { scope: "col", class: column.number ? "number" : null }, column.name));
  const body = rows.map((cells, r) => el("tr", { class: r === marked ? "marked" : null }, cells.map((cell, i) => i === 0
    ? el("th", { scope: "row" }, cell)
    : el("td", { class: columns[i].number ? "number" : null, "data-name": columns[i].name }, cell))));
  return el("div", { class: "scroll" },
    el("table", { class: cards ? "cards" : null }, el("thead", {}, el("tr", {}, head)), el("tbody", {}, body)));
}

export function notice(title, text, bad = false) {
  return el("div", { class: bad ? "notice bad" : "notice", role: bad ? "alert" : null }, el("strong", {}, title), el("span", {}, text));
}

// ---- numbers ----

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export const count = (value) => (value === null || value === undefined ? "–" : whole.format(value));
export const brief = (value) => (value < 100000 ? whole.format(value) : short.format(value));

export function bytes(value) {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

export function ms(value) {
  if (value === null || value === undefined) return "–";
  if (value >= 1000) return `${(value / 1000).toFixed(1)} s`;
  return `${value >= 100 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : value.toFixed(3)} ms`;
}

export const rate = (value) => (value >= 100 ? count(Math.round(value)) : value.toFixed(value > 0 && value < 10 ? 1 : 0));
export const percent = (value) => `${(100 * value).toFixed(value >= 0.1 || value === 0 ? 0 : 1)} %`;

// An id as the interface gives it: a number, a text, or {"uuid"}.
export const idText = (id) => (typeof id === "object" && id !== null ? id.uuid : String(id));
