// Recall against latency: asked of the server, which measures it with rows of the collection.
import { explain, inCollection, post } from "./api.js";
import { chart, legend } from "./chart.js";
import { brief, count, el, ms, notice, panel, table } from "./dom.js";

const QUICK = { queries: 30, budget_ms: 1000 }, LONG = { queries: 200, budget_ms: 10000 };

const share = (value) => (value === null ? "–" : value.toFixed(3));

// Recall above which the picture begins: what lies below one step is cut off by nothing.
function floorOf(recalls) {
  const least = Math.min(...recalls);
  return [0.98, 0.95, 0.9, 0.8, 0.5, 0].find((floor) => floor < least) ?? 0;
}

function drawing(measured) {
  const points = measured.points.map((it) => [Math.max(it.p50_ms, 0.001), it.recall,
    `${it.effort === null ? "default" : `${measured.effort} ${it.effort}`}: recall ${share(it.recall)}, ${ms(it.p50_ms)}`]);
  const sorted = points.filter((_, i) => measured.points[i].effort !== null);
  const exact = [Math.max(measured.exact.p50_ms, 0.001), 1, `exact: ${ms(measured.exact.p50_ms)}`];
  const times = [...points, exact].map(([time]) => time);
  return {
    label: `Recall against latency at ${points.length} settings; the table below has the figures`,
    height: 270,
    x: { low: Math.min(...times) * 0.8, high: Math.max(...times) * 1.3, log: true, format: (at) => (at >= 1 ? brief(at) : String(at)), name: "milliseconds a search (median), slower →" },
    y: { low: floorOf(points.map((it) => it[1])), high: 1, format: (at) => at.toFixed(at > 0.9 && at < 1 ? 3 : 2).replace(/0$/, ""), name: "recall" },
    series: [
      { color: "c0", marks: true, points: sorted },
      { color: "c1", marks: true, full: true, onlyMarks: true, points: points.filter((_, i) => measured.points[i].effort === null) },
      { color: "c2", marks: true, full: true, onlyMarks: true, points: [exact] },
    ],
  };
}

function figures(measured) {
  const rows = measured.points.map((it) => [it.effort === null ? "default" : `${measured.effort} ${it.effort}`, share(it.recall), share(it.calibrated),
    ms(it.p50_ms), ms(it.p99_ms)]);
  rows.push(["exact", "1.000", "–", ms(measured.exact.p50_ms), ms(measured.exact.p99_ms)]);
  return el("details", {}, el("summary", {}, "Figures"), table(
    [{ name: "effort" }, { name: "recall", number: true }, { name: "when built", number: true }, { name: "p50", number: true }, { name: "p99", number: true }],
    rows, { marked: 0 }));
}

export function recallPanel(name, space, signal) {
  const body = el("div", { id: "recall-body", "aria-live": "polite" });
  const button = el("button", { type: "button" }, "Measure longer");

  const show = (measured) => {
    if (measured.queries === 0) {
      body.replaceChildren(el("p", { class: "empty" }, "No pattern has a vector yet: there is nothing to measure."));
      return;
    }
    const told = [`${count(measured.queries)} stored rows were the queries, each without itself; k = ${measured.k}, ${count(measured.rows)} rows.`];
    if (measured.indexed_rows === 0) told.push("All rows are scanned, so recall is 1; an index is built when a segment is large enough.");
    if (measured.queries < 10) told.push("So few fit into the time: press “Measure longer” for figures to rely on.");
    if (!measured.complete) told.push("Time ran out before all settings were measured.");
    const picture = chart(drawing(measured));
    body.replaceChildren(picture.box,
      legend([{ color: "c1", name: "default" }, ...(measured.points.length > 1 ? [{ color: "c0", name: `${measured.effort}, from less to more effort` }] : []),
        { color: "c2", name: "exact" }]),
      el("p", { class: "hint" }, told.join(" ")), figures(measured));
  };
  const measure = async (how) => {
    button.disabled = true;
    if (!body.firstChild) body.replaceChildren(el("p", { class: "empty" }, "Measuring …"));
    try {
      show(await post(inCollection(name, "/recall"), { space: space.name, ...how }, signal));
    } catch (failure) {
      if (failure.name !== "AbortError") body.replaceChildren(notice(...explain(failure), true));
    }
    button.disabled = false;
  };
  button.addEventListener("click", () => measure(LONG));
  measure(QUICK);
  return panel("Recall against latency", { tools: [button], hint: "Measured now, on this machine, beside whatever else it does." }, body);
}
