// The first view: what there is, and how the server does.
import { explain, get, inCollection } from "./api.js";
import { chart } from "./chart.js";
import { brief, bytes, count, el, ms, notice, panel, percent, rate, table, tile } from "./dom.js";

const LIVE_EVERY_MS = 1000, DATA_EVERY_MS = 10000;
const CLASSES = [
  { id: "query", name: "Queries", color: "c0" },
  { id: "read", name: "Reads", color: "c2" },
  { id: "write", name: "Writes", color: "c1" },
  { id: "admin", name: "Administration", color: "c3" },
];

// A key of some collections may not see figures of all: theirs are asked for one by one.
async function statistics(signal) {
  const { key } = await get("", signal);
  if (key.collections === null) return get("stats", signal);
  const { collections } = await get("collections", signal);
  return { collections: await Promise.all(collections.map((name) => get(inCollection(name, "/stats"), signal))) };
}

export const sum = (list, member) => list.reduce((total, entry) => total + (entry[member] ?? 0), 0);

// ---- live ----

function livePanel() {
  const seconds = Array.from({ length: 60 }, (_, i) => i - 60);
  const drawing = (live) => {
    const most = Math.max(4, ...CLASSES.flatMap(({ id }) => live.history[id]));
    const power = 10 ** Math.floor(Math.log10(most));
    return {
      label: "Requests in each of the last 60 seconds; the table below has the figures",
      height: 220,
      x: { low: -60, high: -1, format: (at) => (at > -2 ? "now" : `${at} s`), name: "seconds ago" },
      y: { low: 0, high: [1, 2, 4, 5, 10].find((factor) => factor * power >= most) * power, format: (at) => brief(at), name: "requests/s" },
      series: CLASSES.filter(({ id }) => id !== "admin" || live.history[id].some((n) => n > 0)).map(({ id, color }) => ({
        color, area: id === "query", points: seconds.map((at, i) => [at, live.history[id][i]]),
      })),
    };
  };
  const none = { history: Object.fromEntries(CLASSES.map(({ id }) => [id, seconds.map(() => 0)])) };
  const picture = chart(drawing(none));
  const figures = el("div", {});
  const section = panel("Now", { hint: "Requests of the last minute; rates and times over the last 10 seconds, from a request’s last byte to its answer." },
    el("div", { class: "beside" }, picture.box, figures));
  return {
    section,
    update(live) {
      picture.update(drawing(live));
      figures.replaceChildren(table(
        [{ name: "" }, { name: "a second", number: true }, { name: "p50", number: true }, { name: "p99", number: true }, { name: "failed", number: true }],
        CLASSES.map(({ id, name, color }) => {
          const it = live.classes[id];
          return [[el("span", { class: `swatch ${color}`, "aria-hidden": "true" }), name],
            rate(it.per_second), ms(it.p50_ms), ms(it.p99_ms), count(it.failed)];
        })));
    },
  };
}

// ---- collections ----

function describe(collection) {
  const dense = collection.spaces.find((space) => space.kind === "dense");
  const first = dense ?? collection.spaces[0];
  const rows = sum(collection.spaces, "rows"), indexed = sum(collection.spaces, "indexed_rows") + sum(collection.spaces, "tail_indexed_rows");
  const words = !first ? "–" : first.kind === "dense" ? `${first.dim} · ${first.metric}` : first.kind;
  const share = rows === 0 ? "–" : indexed === 0 ? "scanned" : `${percent(Math.min(1, indexed / rows))} in an index`;
  return [
    el("a", { href: `#/collections/${encodeURIComponent(collection.name)}` }, collection.name),
    count(collection.totalPatterns), words, dense ? dense.index ?? "auto" : "–", dense?.quantization ?? "–", share,
    bytes(sum(collection.spaces, "file_bytes")),
  ];
}

function collectionsPanel() {
  const body = el("div", {}, el("p", { class: "empty" }, "Loading …"));
  return {
    section: panel("Collections", {}, body),
    update(collections) {
      if (collections.length === 0) {
        body.replaceChildren(notice("There is no collection yet", el("span", {}, "Make one and put something in: ",
          el("code", {}, `curl ${location.origin}/cairn/v1/collections -d '{"name": "notes", "lexical": true}'`))));
        return;
      }
      body.replaceChildren(table(
        [{ name: "name" }, { name: "patterns", number: true }, { name: "vectors" }, { name: "index" }, { name: "quantization" }, { name: "found by" },
          { name: "index files", number: true }],
        [...collections].sort((a, b) => b.totalPatterns - a.totalPatterns).map(describe), { cards: true }));
    },
  };
}

// ---- slow searches ----

function slowPanel() {
  const body = el("div", {});
  return {
    section: panel("Slow searches", { hint: "Of this interface, newest first; nothing of what was asked for is kept." }, body),
    update({ slow, threshold_ms }) {
      if (slow.length === 0) {
        body.replaceChildren(el("p", { class: "empty" }, `None took ${ms(threshold_ms)} or more since the server started.`));
        return;
      }
      body.replaceChildren(table(
        [{ name: "when" }, { name: "collection" }, { name: "plan" }, { name: "k", number: true }, { name: "compared", number: true }, { name: "took", number: true }],
        slow.slice(0, 8).map((it) => [new Date(it.time).toLocaleTimeString(), it.collection, it.plan ?? it.operation, count(it.k), count(it.rows_scored), ms(it.ms)]),
        { cards: true }));
    },
  };
}

// ---- the view ----

export function overview(root, { signal, every, told }) {
  const tiles = el("dl", { class: "tiles" });
  const problem = el("div", {});
  const live = livePanel(), collections = collectionsPanel(), slow = slowPanel();
  const about = el("p", { class: "hint" });
  let data = null, now = null;

  root.replaceChildren(el("div", { class: "head" }, el("h1", {}, "Memory"), about), problem, tiles, live.section, collections.section, slow.section);

  const showTiles = () => {
    const patterns = data ? sum(data.collections, "totalPatterns") : null;
    const disk = data?.dbSize === undefined ? null : data.dbSize + data.walBytes + data.indexBytes;
    const queries = now?.classes.query;
    tiles.replaceChildren(
      tile("Patterns", patterns === null ? "–" : brief(patterns), data ? `in ${count(data.collections.length)} collection${data.collections.length === 1 ? "" : "s"}` : ""),
      tile("On disk", disk === null ? "–" : bytes(disk), disk === null ? "" : `rows ${bytes(data.dbSize)}, indexes ${bytes(data.indexBytes)}`),
      tile("Queries a second", queries ? rate(queries.per_second) : "–", "over the last 10 s"),
      tile("Query p50", ms(queries?.p50_ms), !queries ? "" : queries.p50_ms === null ? "none in the last 10 s" : "half were faster"),
      tile("Query p99", ms(queries?.p99_ms), !queries ? "" : queries.p99_ms === null ? "none in the last 10 s" : "1 in 100 was slower"),
      tile("Connections", count(now?.connections), now ? `${count(now.waiting)} requests wait` : ""),
    );
  };
  showTiles();

  every(LIVE_EVERY_MS, async () => {
    now = await get("stats/live", signal);
    live.update(now);
    showTiles();
  });
  every(DATA_EVERY_MS, async () => {
    try {
      [data] = await Promise.all([statistics(signal), get("slow", signal).then((it) => slow.update(it))]);
      problem.replaceChildren();
      collections.update(data.collections);
      about.textContent = data.version ? `Cairn ${data.version} · ${data.cpu} · write ${count(data.sequence)}` : "the collections that the key covers";
      showTiles();
    } catch (failure) {
      if (failure.name === "AbortError") throw failure;
      problem.replaceChildren(notice(...explain(failure), true));
      throw failure;
    }
  });
  told("Memory");
}
