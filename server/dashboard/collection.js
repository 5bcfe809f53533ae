// One collection: what it is, searching it, its map, its recall, its patterns.
import { explain, get, inCollection, post } from "./api.js";
import { brief, bytes, count, el, idText, notice, panel, percent, table, tile } from "./dom.js";
import { mapPanel } from "./map.js";
import { recallPanel } from "./recall.js";
import { payloadTags, searchPanel } from "./search.js";
import { sum } from "./overview.js";

const STATS_EVERY_MS = 5000, FIRST = 5, PAGE = 50;

function tiles(stats) {
  const dense = stats.spaces.find((space) => space.kind === "dense");
  const rows = sum(stats.spaces, "rows"), indexed = sum(stats.spaces, "indexed_rows") + sum(stats.spaces, "tail_indexed_rows");
  const waiting = sum(stats.spaces, "tail_rows");
  return [
    tile("Patterns", brief(stats.totalPatterns), `confidence ${stats.avgConfidence.toFixed(2)} on average`),
    dense ? tile("Vectors", `${count(dense.dim)} × ${dense.metric}`, dense.model ?? "model not stated", true) : tile("Vectors", "none dense", "", true),
    tile("Index", dense ? dense.index ?? "auto" : "–", dense ? `quantization ${dense.quantization}` : "", true),
    tile("Found by an index", rows === 0 ? "–" : percent(Math.min(1, indexed / rows)), `${count(rows - Math.min(rows, indexed))} rows are scanned`),
    tile("Index files", bytes(sum(stats.spaces, "file_bytes")), `${count(sum(stats.spaces, "segments"))} segments, ${count(waiting)} rows wait`),
    tile("Index memory", bytes(sum(stats.spaces, "index_memory_bytes")), `${count(sum(stats.spaces, "open_indexes"))} indexes are open`),
  ];
}

function domainsPanel() {
  const body = el("div", { class: "bars" });
  return {
    section: panel("Domains", {}, body),
    update(domains) {
      const entries = Object.entries(domains).sort((a, b) => b[1] - a[1]).slice(0, 12);
      const most = Math.max(1, ...entries.map(([, rows]) => rows));
      if (entries.length === 0) {
        body.replaceChildren(el("p", { class: "empty" }, "No patterns yet."));
        return;
      }
      body.replaceChildren(...entries.flatMap(([name, rows]) => [
        el("span", { class: "name" }, name || "(none)"),
        el("progress", { max: most, value: rows, "aria-label": `${name || "no domain"}: ${count(rows)} of ${count(most)}` }),
        el("span", { class: "number" }, count(rows)),
      ]));
    },
  };
}

function spacesPanel(stats) {
  const rows = stats.spaces.map((space) => [space.name || "(default)", space.kind, space.kind === "sparse" ? "–" : count(space.dim), space.metric,
    space.index ?? "auto", space.quantization, count(space.rows), count(space.deleted_rows), space.scanned_bytes_per_vector ? bytes(space.scanned_bytes_per_vector) : "–"]);
  return panel("Vector spaces", {}, table([{ name: "space" }, { name: "kind" }, { name: "dim", number: true }, { name: "metric" }, { name: "index" },
    { name: "quantization" }, { name: "rows", number: true }, { name: "deleted", number: true }, { name: "scanned a row", number: true }], rows, { cards: true }));
}

// The first patterns, and more on request.
function patternsPanel(name, first, signal) {
  const list = el("ol", { class: "hits" });
  const more = el("button", { type: "button" }, "Show more");
  let { cursor } = first, held = first.patterns;

  const add = (patterns) => {
    held = held.slice(patterns.length);
    for (const pattern of patterns) {
      list.append(el("li", { class: "hit" },
        el("div", {}, el("span", { class: "id" }, idText(pattern.id)), pattern.domain ? el("span", { class: "soft" }, pattern.domain) : null,
          el("span", { class: "score soft" }, `confidence ${pattern.confidence.toFixed(2)}, used ${count(pattern.usage_count)}×`)),
        pattern.text ? el("p", { class: "text" }, pattern.text.slice(0, 400)) : null,
        pattern.payload ? payloadTags(pattern.payload) : null));
    }
    more.classList.toggle("hidden", cursor === null && held.length === 0);
  };
  more.addEventListener("click", async () => {
    try {
      if (held.length > 0) {
        add(held);
        return;
      }
      const page = await post(inCollection(name, "/patterns/scroll"), { limit: PAGE, cursor }, signal);
      cursor = page.cursor;
      held = page.patterns;
      add(held);
    } catch (failure) {
      if (failure.name !== "AbortError") more.replaceWith(notice(...explain(failure), true));
    }
  });
  add(held.slice(0, FIRST));
  return panel("Patterns", { hint: "In the order they were written." }, list, el("p", { class: "more" }, more));
}

function emptyPanel(name) {
  return panel("Nothing in it yet", {}, notice("Put something in", el("code", {},
    `curl -X PUT ${location.origin}/cairn/v1/${inCollection(name, "/patterns")} -d '{"id": "first", "text": "what was learned"}'`)));
}

// Built once, when the first answer is there; afterwards only figures change.
async function build(root, name, stats, view) {
  const { signal } = view;
  const first = await post(inCollection(name, "/patterns/scroll"), { limit: PAGE }, signal);
  const dense = stats.spaces.find((space) => space.kind === "dense");
  const domains = domainsPanel();
  const figures = el("dl", { class: "tiles" });
  const head = el("div", { class: "head" }, el("h1", {}, name), stats.lexical ? el("span", { class: "hint" }, "with a full-text index") : null);

  if (stats.totalPatterns === 0) {
    root.replaceChildren(head, figures, emptyPanel(name), spacesPanel(stats));
  } else {
    root.replaceChildren(head, figures, searchPanel(name, stats, signal),
      dense ? mapPanel(name, stats, first.patterns, signal) : "",
      el("div", { class: "two" }, dense ? recallPanel(name, dense, signal) : "", domains.section),
      spacesPanel(stats), patternsPanel(name, first, signal));
  }
  return (next) => {
    figures.replaceChildren(...tiles(next));
    domains.update(next.domains);
  };
}

export function collectionView(root, name, view) {
  let update = null, wasEmpty = false;

  view.told(name);
  root.replaceChildren(el("h1", {}, name), el("p", { class: "empty" }, "Loading …"));
  view.every(STATS_EVERY_MS, async () => {
    try {
      const stats = await get(inCollection(name, "/stats"), view.signal);
      if (update === null || (wasEmpty && stats.totalPatterns > 0)) update = await build(root, name, stats, view);
      wasEmpty = stats.totalPatterns === 0;
      update(stats);
    } catch (failure) {
      if (failure.name !== "AbortError" && update === null) {
        root.replaceChildren(el("h1", {}, name), notice(...explain(failure), true), el("p", {}, el("a", { href: "#/" }, "Back to the overview")));
      }
      throw failure;
    }
  });
}
