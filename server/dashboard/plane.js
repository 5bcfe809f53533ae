// Points on a canvas that is panned by dragging and arrow keys, zoomed by wheel, pinch, buttons, + and -. It knows nothing of what they mean.
import { el } from "./dom.js";

const RADIUS = 3.2, NEAR = 14, ZOOM_MOST = 400, STEP = 1.35, PAN = 60;

export function makePlane(onPick, signal) {
  const canvas = el("canvas", {
    tabindex: 0, role: "application", "aria-label": "Map of patterns. Arrow keys move it, plus and minus zoom, 0 shows all, Enter picks the point "
      + "nearest the middle, n and p the next and the previous.",
  });
  const view = { x: 0, y: 0, scale: 1 }; // the data's point in the middle, and pixels a unit
  let points = { ids: [], x: [], y: [] }, colors = [], fit = { x: 0, y: 0, scale: 1 };
  let picked = -1, waiting = false;

  // ---- drawing ----

  const size = () => [canvas.clientWidth, canvas.clientHeight];
  const toScreen = (i) => {
    const [width, height] = size();
    return [width / 2 + (points.x[i] - view.x) * view.scale, height / 2 - (points.y[i] - view.y) * view.scale];
  };

  function paint() {
    waiting = false;
    const [width, height] = size(), ratio = window.devicePixelRatio || 1;
    if (width === 0) return;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const style = getComputedStyle(canvas);
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const radius = Math.min(6, RADIUS * Math.sqrt(Math.max(1, view.scale / fit.scale)) * (points.ids.length > 3000 ? 0.8 : 1));
    for (let color = 9; color >= 0; color--) { // a path a colour: 5,000 points in a few milliseconds
      context.beginPath();
      for (let i = 0; i < points.ids.length; i++) {
        if (colors[i] !== color) continue;
        const [x, y] = toScreen(i);
        if (x < -9 || y < -9 || x > width + 9 || y > height + 9) continue;
        context.moveTo(x + radius, y);
        context.arc(x, y, radius, 0, 7);
      }
      context.globalAlpha = 0.78;
      context.fillStyle = style.getPropertyValue(`--s${color}`);
      context.fill();
    }
    context.globalAlpha = 1;
    if (picked >= 0) {
      const [x, y] = toScreen(picked);
      context.beginPath();
      context.arc(x, y, radius + 4, 0, 7);
      context.lineWidth = 2.5;
      context.strokeStyle = style.getPropertyValue("--text");
      context.stroke();
    }
    Object.assign(canvas.dataset, { x: view.x.toPrecision(6), y: view.y.toPrecision(6), scale: view.scale.toPrecision(6), points: points.ids.length });
  }

  function repaint() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(paint);
  }

  // ---- moving ----

  function pan(dx, dy) {
    view.x -= dx / view.scale;
    view.y += dy / view.scale;
    repaint();
  }

  // The point of the data at (x, y) of the canvas stays where it is.
  function zoom(factor, x = size()[0] / 2, y = size()[1] / 2) {
    const [width, height] = size();
    const scale = Math.min(fit.scale * ZOOM_MOST, Math.max(fit.scale / 4, view.scale * factor));
    const dx = x - width / 2, dy = y - height / 2;
    view.x += dx / view.scale - dx / scale;
    view.y -= dy / view.scale - dy / scale;
    view.scale = scale;
    repaint();
  }

  function showAll() {
    const [width, height] = size();
    const range = (values) => values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
    const [left, right] = range(points.x), [bottom, top] = range(points.y);
    const scale = Math.min((width - 60) / (right - left || 1), (height - 60) / (top - bottom || 1));
    fit = points.ids.length === 0 ? { x: 0, y: 0, scale: 1 } : { x: (left + right) / 2, y: (bottom + top) / 2, scale: scale > 0 ? scale : 1 };
    Object.assign(view, fit);
    repaint();
  }

  // ---- picking ----

  function nearest(x, y, within) {
    let best = -1, least = within * within;
    for (let i = 0; i < points.ids.length; i++) {
      const [px, py] = toScreen(i), distance = (px - x) ** 2 + (py - y) ** 2;
      if (distance < least) [best, least] = [i, distance];
    }
    return best;
  }

  function pick(i) {
    if (i < 0 || i === picked) return;
    picked = i;
    canvas.dataset.picked = i;
    repaint();
    onPick(i, points);
  }

  function pickBeside(step) {
    const n = points.ids.length;
    if (n === 0) return;
    pick(picked < 0 ? 0 : (picked + step + n) % n);
    const [width, height] = size(), [x, y] = toScreen(picked);
    if (x < 0 || y < 0 || x > width || y > height) Object.assign(view, { x: points.x[picked], y: points.y[picked] });
  }

  // ---- hands: pointers, wheel, keys, buttons ----

  const pointers = new Map();
  const apart = () => {
    const [a, b] = [...pointers.values()];
    return Math.hypot(a.x - b.x, a.y - b.y);
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    if (pointers.size === 1) pick(nearest(event.offsetX, event.offsetY, NEAR));
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) {
      pick(nearest(event.offsetX, event.offsetY, NEAR));
      return;
    }
    const distance = pointers.size === 2 ? apart() : 0;
    pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    if (pointers.size === 1) pan(event.offsetX - before.x, event.offsetY - before.y);
    else if (distance > 0) zoom(apart() / distance, event.offsetX, event.offsetY);
  });
  for (const type of ["pointerup", "pointercancel"]) canvas.addEventListener(type, (event) => pointers.delete(event.pointerId));
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-Math.max(-240, Math.min(240, event.deltaY)) * 0.0018), event.offsetX, event.offsetY);
  }, { passive: false });

  const keys = {
    ArrowLeft: () => pan(PAN, 0), ArrowRight: () => pan(-PAN, 0), ArrowUp: () => pan(0, PAN), ArrowDown: () => pan(0, -PAN),
    "+": () => zoom(STEP), "=": () => zoom(STEP), "-": () => zoom(1 / STEP), 0: showAll,
    Enter: () => pick(nearest(size()[0] / 2, size()[1] / 2, Infinity)), n: () => pickBeside(1), p: () => pickBeside(-1),
  };
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  const button = (text, label, work) => el("button", { type: "button", "aria-label": label, title: label, onclick: work }, text);
  const tools = el("div", { class: "tools" }, button("+", "Zoom in", () => zoom(STEP)), button("−", "Zoom out", () => zoom(1 / STEP)),
    button("⤢", "Show all points", showAll));

  const watcher = new ResizeObserver(repaint);
  watcher.observe(canvas);
  document.addEventListener("theme-changed", repaint, { signal });
  signal.addEventListener("abort", () => watcher.disconnect());

  return {
    canvas,
    tools,
    // colours: 0 to 9 for each point. Points whose place is no number are left out.
    show(projection, colorOf) {
      const usable = projection.ids.map((_, i) => i).filter((i) => projection.x[i] !== null && projection.y[i] !== null);
      const again = points.ids.length === usable.length && usable.every((i, at) => points.x[at] === projection.x[i]);
      points = { ids: usable.map((i) => projection.ids[i]), x: usable.map((i) => projection.x[i]), y: usable.map((i) => projection.y[i]) };
      colors = usable.map((i) => colorOf[i]);
      if (again) {
        repaint(); // only the colours changed: the reader's place is kept
      } else {
        picked = -1;
        showAll();
      }
    },
  };
}
