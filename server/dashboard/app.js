// The frame: theme, key, routes (#/ and #/collections/NAME), and the clock of a view.
import { explain, getKey, setKey } from "./api.js";
import { collectionView } from "./collection.js";
import { el, notice } from "./dom.js";
import { overview } from "./overview.js";

const main = document.getElementById("main");
let leaving = new AbortController();

// ---- theme: the system's, or one of two that is remembered ----

const themeButton = document.getElementById("theme-button");
const systemDark = matchMedia("(prefers-color-scheme: dark)");

const isDark = () => (document.documentElement.dataset.theme ?? (systemDark.matches ? "dark" : "light")) === "dark";

function showTheme() {
  themeButton.textContent = isDark() ? "Light" : "Dark";
  themeButton.setAttribute("aria-label", isDark() ? "Use the light theme" : "Use the dark theme");
  document.dispatchEvent(new CustomEvent("theme-changed"));
}

themeButton.addEventListener("click", () => {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("cairn-theme", theme);
  } catch {
    // no storage: for this visit only
  }
  showTheme();
});
systemDark.addEventListener("change", showTheme);
showTheme();

// ---- key ----

const dialog = document.getElementById("key-dialog");
const keyInput = document.getElementById("key-input");
const keyWhy = document.getElementById("key-why");
let declined = false;

function showKeyButton() {
  document.getElementById("key-button").textContent = getKey() ? "Key set" : "Key";
}

function askForKey(why) {
  if (dialog.open) return;
  keyWhy.textContent = why;
  keyInput.value = "";
  dialog.showModal();
}

function useKey(key) {
  setKey(key);
  declined = false;
  showKeyButton();
  dialog.close();
  route();
}

document.getElementById("key-button").addEventListener("click", () => {
  askForKey(getKey() ? "A key is in use. Another may take its place." : "A server with keys asks for one. The role read is enough to look around.");
});
document.getElementById("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (keyInput.value.trim()) useKey(keyInput.value.trim());
});
document.getElementById("key-forget").addEventListener("click", () => useKey(""));
document.getElementById("key-cancel").addEventListener("click", () => {
  declined = true;
  dialog.close();
});
dialog.addEventListener("cancel", () => { // by Escape
  declined = true;
});
document.addEventListener("key-needed", () => {
  if (!declined) askForKey(getKey() ? "The server does not know this key." : "This server asks for a key. One with the role read is enough to look around.");
});
showKeyButton();

// ---- how it goes ----

const state = document.getElementById("state");

function showState(kind, text) {
  state.className = `state ${kind}`;
  const place = document.getElementById("state-text");
  if (place.textContent !== text) place.textContent = text;
}

// Runs `work` at once and then again and again, while the view is there and the page is seen; more slowly while the server fails, and no more
// once it wants another key, because with that the view begins anew.
function every(signal, interval, work) {
  const run = async () => {
    let pause = interval;
    if (signal.aborted) return;
    if (!document.hidden) {
      try {
        await work();
        if (!signal.aborted) showState("live", "live");
      } catch (failure) {
        if (failure.name === "AbortError" || signal.aborted) return;
        if (failure.status === undefined) throw failure;
        showState("bad", explain(failure)[0].toLowerCase());
        if (failure.status === 401) return;
        pause = Math.max(interval, 3000);
      }
    }
    setTimeout(run, pause);
  };
  run();
}

// ---- routes ----

function crumbs(name) {
  document.getElementById("crumbs").replaceChildren(
    ...(name === null ? [] : [el("a", { href: "#/" }, "Memory"), " / ", el("span", { "aria-current": "page" }, name)]));
}

function nameOf(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function route() {
  const path = location.hash.replace(/^#/, "") || "/";
  const collection = /^\/collections\/([^/]+)$/.exec(path);

  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const view = { signal, every: (interval, work) => every(signal, interval, work), told: (title) => { document.title = `${title} · Cairn`; } };
  if (collection) {
    const name = nameOf(collection[1]);
    crumbs(name);
    collectionView(main, name, view);
  } else if (path === "/") {
    crumbs(null);
    overview(main, view);
  } else {
    crumbs(null);
    main.replaceChildren(notice("There is nothing here", el("a", { href: "#/" }, "Back to the overview")));
  }
}

document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
window.addEventListener("hashchange", () => {
  route();
  window.scrollTo(0, 0);
  main.focus({ preventScroll: true });
});
route();
