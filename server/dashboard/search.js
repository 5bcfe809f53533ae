// The search box of a collection: by the words that its embedder or its full-text index understands.
import { explain, inCollection, post } from "./api.js";
import { count, el, idText, ms, notice, panel } from "./dom.js";

// Which modes a text can be searched by; empty: none.
export function modesOf(collection) {
  const space = collection.spaces.find((it) => it.name === "" && it.kind === "dense");
  const embeds = space?.model === "cairn-ngram-1";
  const modes = [];
  if (embeds && collection.lexical) modes.push(["hybrid", "words and vectors"]);
  if (embeds) modes.push(["vector", "vectors"]);
  if (collection.lexical) modes.push(["lexical", "words"]);
  return modes;
}

function textOf(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

// Members of a payload as small labels.
export function payloadTags(payload) {
  return el("div", { class: "tags" }, Object.entries(payload ?? {}).slice(0, 12).map(([name, value]) => el("span", { class: "tag" },
    el("i", {}, `${name} `), textOf(value).slice(0, 160))));
}

function hitItem(hit, rank) {
  const { pattern } = hit;
  return el("li", { class: "hit" },
    el("div", {},
      el("span", { class: "soft" }, `${rank}.`), el("span", { class: "id" }, idText(hit.id)),
      pattern.domain ? el("span", { class: "soft" }, pattern.domain) : null,
      el("span", { class: "score" }, el("b", {}, hit.score.toFixed(4)), el("span", { class: "soft" }, " score"))),
    pattern.text ? el("p", { class: "text" }, pattern.text.slice(0, 600)) : null,
    pattern.payload ? payloadTags(pattern.payload) : null);
}

function planLine(answer, elapsed) {
  const { info } = answer;
  const parts = [["plan", info.plan], ["found", count(answer.hits.length)], ["of rows", count(info.rows_matched)],
    ["compared", count(info.rows_scored)], ["in the engine", ms(info.ms)], ["there and back", ms(elapsed)]];
  return el("div", { class: "plan" }, parts.map(([name, value]) => el("span", {}, `${name} `, el("b", {}, value))));
}

export function searchPanel(name, collection, signal) {
  const modes = modesOf(collection);
  if (modes.length === 0) {
    const model = collection.spaces.find((it) => it.name === "")?.model;
    return panel("Search", {}, notice("This collection cannot be asked in words here",
      `Its vectors come from ${model ? `the model ${model}` : "a model that is not stated"}, which the server does not run, and it has no full-text index. `
      + `Send vectors to POST /cairn/v1/${inCollection(name, "/search")}, or make a collection with "lexical": true.`));
  }
  const input = el("input", { id: "search-text", type: "search", placeholder: "What are you looking for?", autocomplete: "off", enterkeyhint: "search" });
  const mode = el("select", { id: "search-mode" }, modes.map(([value, text]) => el("option", { value }, text)));
  const k = el("select", { id: "search-k" }, [5, 10, 25, 50].map((value) => el("option", { value, selected: value === 10 }, value)));
  const results = el("div", { id: "search-results", "aria-live": "polite" });
  let asking = null;

  const search = async () => {
    const text = input.value.trim();
    if (!text) {
      results.replaceChildren(el("p", { class: "empty" }, "Type a few words first."));
      return;
    }
    asking?.abort();
    asking = new AbortController();
    const begin = performance.now();
    try {
      const answer = await post(inCollection(name, "/search"),
        { text, mode: mode.value, k: Number(k.value), with_pattern: true, explain: true }, AbortSignal.any([signal, asking.signal]));
      const elapsed = performance.now() - begin;
      results.replaceChildren(planLine(answer, elapsed), answer.hits.length === 0
        ? el("p", { class: "empty" }, mode.value === "lexical" ? "No text has these words. Try fewer, or search by vectors." : "Nothing was found: the collection is empty.")
        : el("ol", { class: "hits" }, answer.hits.map((hit, i) => hitItem(hit, i + 1))));
    } catch (failure) {
      if (failure.name !== "AbortError") results.replaceChildren(notice(...explain(failure), true));
    }
  };
  const form = el("form", { role: "search", onsubmit: (event) => { event.preventDefault(); search(); } },
    el("div", { class: "search" }, el("label", { class: "said", for: "search-text" }, "Text to search for"), input,
      el("button", { type: "submit", class: "primary" }, "Search")));
  return panel("Search", { tools: [el("label", { class: "field" }, "by ", mode), el("label", { class: "field" }, "show ", k)] }, form, results);
}
