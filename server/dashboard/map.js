// The map of a collection: some of its patterns as points of a plane, near where their vectors are near.
import { explain, get, inCollection, post } from "./api.js";
import { legend } from "./chart.js";
import { count, el, idText, notice, panel, percent } from "./dom.js";
import { makePlane } from "./plane.js";

const COLORS = 9; // c0 to c8; c9 is for what is left over
const isSimple = (value) => value === null || ["string", "number", "boolean"].includes(typeof value);

// What points may be coloured by: the columns of a pattern, and the payload's members that patterns have.
function labelsOf(patterns) {
  const names = ["domain", "type"];
  if (patterns.some((pattern) => pattern.agent)) names.push("agent");
  names.push("confidence");
  const add = (object, path, depth) => {
    for (const [name, value] of Object.entries(object ?? {})) {
      const full = `${path}.${name}`;
      if (name.includes(".") || names.length > 40) continue;
      if (isSimple(value) || (Array.isArray(value) && value.every(isSimple))) {
        if (!names.includes(full)) names.push(full);
      } else if (!Array.isArray(value) && depth < 2) {
        add(value, full, depth + 1);
      }
    }
  };
  for (const pattern of patterns) add(pattern.payload, "payload", 0);
  return names;
}

// A colour for each point. Numbers of many values are put into ranges of like size, all else is told apart by value.
function colorsOf(labels) {
  const tally = new Map();
  for (const label of labels) tally.set(label, (tally.get(label) ?? 0) + 1);
  const numbers = [...tally.keys()].filter((label) => typeof label === "number");
  if (numbers.length > COLORS) {
    const sorted = labels.filter((label) => typeof label === "number").sort((a, b) => a - b);
    const bounds = Array.from({ length: 5 }, (_, i) => sorted[Math.min(sorted.length - 1, Math.floor(((i + 1) * sorted.length) / 5))]);
    const place = (label) => (typeof label === "number" ? Math.max(0, bounds.findIndex((bound) => label <= bound)) : 9);
    const entries = bounds.map((bound, i) => ({ color: `c${i}`, name: `${i === 0 ? sorted[0] : bounds[i - 1]} to ${bound}` }));
    return { of: labels.map(place), entries };
  }
  const ranked = [...tally].sort((a, b) => b[1] - a[1]);
  const places = new Map(ranked.slice(0, COLORS).map(([label], i) => [label, i]));
  const entries = ranked.slice(0, COLORS).map(([label, n], i) => ({ color: `c${i}`, name: label === null || label === "" ? "(none)" : String(label), value: count(n) }));
  if (ranked.length > COLORS) entries.push({ color: "c9", name: `${count(ranked.length - COLORS)} others` });
  return { of: labels.map((label) => places.get(label) ?? 9), entries };
}

function pathOf(id) {
  if (typeof id === "number") return `${id}?id_type=u64&with_vectors=false`;
  if (typeof id === "object") return `${encodeURIComponent(id.uuid)}?id_type=uuid&with_vectors=false`;
  return `${encodeURIComponent(id)}?with_vectors=false`;
}

// What is told of the point under the pointer, or chosen by key: its id at once, the rest when the server has answered.
function pickedBox(name, signal) {
  const box = el("div", { class: "picked", "aria-live": "polite" });
  const known = new Map();
  let shown = 0;

  const nothing = () => box.replaceChildren(el("h3", {}, "Point"), el("p", { class: "hint" },
    "Rest on a point, or press Enter on the map for the one nearest its middle; n and p go to the next and the previous."));
  const show = (id, pattern) => box.replaceChildren(el("h3", {}, "Point"), el("dl", {},
    el("dt", {}, "id"), el("dd", { id: "picked-id" }, idText(id)),
    pattern?.domain ? [el("dt", {}, "domain"), el("dd", {}, pattern.domain)] : null,
    pattern?.text ? [el("dt", {}, "text"), el("dd", {}, pattern.text.slice(0, 400))] : null,
    pattern ? [el("dt", {}, "payload"), el("dd", {}, el("pre", {}, pattern.payload ? JSON.stringify(pattern.payload, null, 1).slice(0, 4000) : "none"))] : null));
  nothing();
  return {
    box,
    async pick(id) {
      const turn = ++shown;
      const key = JSON.stringify(id);
      show(id, known.get(key));
      if (known.has(key)) return;
      await new Promise((resolve) => { setTimeout(resolve, 120); }); // a pointer that passes by asks for nothing
      if (turn !== shown || signal.aborted) return;
      try {
        const pattern = await get(inCollection(name, `/patterns/${pathOf(id)}`), signal);
        known.set(key, pattern);
        if (turn === shown) show(id, pattern);
      } catch (failure) {
        if (failure.name !== "AbortError" && turn === shown) box.append(el("p", { class: "hint" }, explain(failure).join(": ")));
      }
    },
  };
}

export function mapPanel(name, stats, patterns, signal) {
  const spaces = stats.spaces.filter((space) => space.kind === "dense");
  const labels = labelsOf(patterns);
  const wished = labels.find((label) => label.startsWith("payload.")) ?? "domain";
  const preferred = Object.keys(stats.domains).length > 1 ? "domain" : wished;
  const option = (value, chosen, text = value) => el("option", { value, selected: value === chosen }, text);
  const label = el("select", { id: "map-label" }, labels.map((it) => option(it, preferred, it.replace(/^payload\./, ""))));
  const limit = el("select", { id: "map-limit" }, [500, 2000, 5000].map((n) => option(n, 2000, count(n))));
  const space = el("select", { id: "map-space" }, spaces.map((it) => option(it.name, spaces[0].name, it.name || "(default)")));
  const about = el("p", { class: "hint", id: "map-about" });
  const keys = el("div", { id: "map-legend" });
  const picked = pickedBox(name, signal);
  const wait = el("p", { class: "wait" }, "Drawing …");
  const plane = makePlane((i, points) => picked.pick(points.ids[i]), signal);
  const holder = el("div", { class: "canvas" }, plane.canvas, wait, plane.tools);

  const draw = async () => {
    wait.textContent = "Drawing …";
    try {
      const answer = await post(inCollection(name, "/projection"), { space: space.value, limit: Number(limit.value), label: label.value }, signal);
      const colors = colorsOf(answer.labels);
      plane.show(answer, colors.of);
      keys.replaceChildren(legend(colors.entries));
      wait.textContent = answer.points === 0 ? "No pattern has a vector in this space." : "";
      const shown = answer.explained[0] + answer.explained[1];
      about.textContent = `${count(answer.points)} of ${count(answer.matching)} patterns, by the two principal components of their vectors, which hold ${percent(shown)} of the variance: `
        + `${shown < 0.2 ? "points that are near here may be far apart in truth." : "what is near here is mostly near in truth."}`;
    } catch (failure) {
      if (failure.name === "AbortError") return;
      wait.textContent = "";
      keys.replaceChildren(notice(...explain(failure), true));
    }
  };
  for (const control of [label, limit, space]) control.addEventListener("change", draw);
  draw();
  return panel("Map", {
    tools: [spaces.length > 1 ? el("label", { class: "field" }, "space ", space) : null, el("label", { class: "field" }, "colour by ", label),
      el("label", { class: "field" }, "points ", limit)],
  }, el("div", { class: "plane" }, el("div", {}, holder, keys), picked.box), about);
}
