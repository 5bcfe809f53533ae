// Line charts as SVG, drawn anew when their width changes. What a chart says is also in a table or list beside it.
import { el, svg } from "./dom.js";

const TOP = 30, RIGHT = 14, BOTTOM = 38, LEFT = 46;

// 1, 2 or 5 times a power of ten, so that there are about `wanted` steps.
function steps(low, high, wanted) {
  const raw = (high - low) / wanted || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= raw) * power;
  const ticks = [];
  for (let at = Math.ceil(low / step - 1e-9) * step; at <= high + step * 1e-6; at += step) ticks.push(Number(at.toPrecision(12)));
  return ticks;
}

function decades(low, high) {
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
    for (const factor of [1, 2, 5]) {
      const tick = factor * 10 ** power;
      if (tick >= low * 0.999 && tick <= high * 1.001) ticks.push(Number(tick.toPrecision(3)));
    }
  }
  return ticks;
}

const linear = (low, high, from, to) => (value) => from + ((value - low) / (high - low || 1)) * (to - from);
const logarithmic = (low, high, from, to) => (value) => linear(Math.log(low), Math.log(high), from, to)(Math.log(value));

function draw(options, width, height) {
  const { series, x, y, label } = options;
  const toX = (x.log ? logarithmic : linear)(x.low, x.high, LEFT, width - RIGHT);
  const toY = linear(y.low, y.high, height - BOTTOM, TOP);
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": label });
  for (const tick of steps(y.low, y.high, 4)) {
    picture.append(svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: toY(tick), y2: toY(tick) }),
      svg("text", { x: LEFT - 8, y: toY(tick) + 4, "text-anchor": "end" }, y.format(tick)));
  }
  let last = -Infinity;
  for (const tick of x.log ? decades(x.low, x.high) : steps(x.low, x.high, Math.max(2, Math.floor(width / 110)))) {
    const text = x.format(tick), room = text.length * 7 + 14;
    if (toX(tick) - last < room || toX(tick) + room / 2 > width + 4) continue;
    last = toX(tick);
    picture.append(svg("text", { x: toX(tick), y: height - BOTTOM + 18, "text-anchor": "middle" }, text));
  }
  if (x.name) picture.append(svg("text", { x: width - RIGHT, y: height - 4, "text-anchor": "end" }, x.name));
  if (y.name) picture.append(svg("text", { x: 0, y: 12 }, y.name));
  for (const line of series) {
    const places = line.points.map(([px, py]) => [toX(px), toY(py)]);
    const path = places.map(([px, py], i) => `${i ? "L" : "M"}${px.toFixed(1)} ${py.toFixed(1)}`).join("");
    const group = svg("g", { class: line.color });
    if (line.area && places.length > 1) {
      group.append(svg("path", { class: "area", d: `${path}L${places.at(-1)[0]} ${toY(y.low)}L${places[0][0]} ${toY(y.low)}Z` }));
    }
    if (!line.onlyMarks) group.append(svg("path", { class: "line", d: path }));
    if (line.marks) {
      places.forEach(([px, py], i) => {
        const mark = svg("circle", { class: line.full ? "mark full" : "mark", cx: px, cy: py, r: line.full ? 6 : 4.5 });
        if (line.points[i][2]) mark.append(svg("title", {}, line.points[i][2]));
        group.append(mark);
      });
    }
    picture.append(group);
  }
  return picture;
}

// options: { label, height, x: { low, high, log, format, name }, y: { low, high, format, name },
//            series: [{ color: "c0", points: [[x, y, title]], area, marks, full, onlyMarks }] }
export function chart(options) {
  const box = el("div", { class: "chart" });
  let current = options, drawn = 0;
  const redraw = () => {
    drawn = box.clientWidth;
    if (drawn > 0) box.replaceChildren(draw(current, drawn, current.height ?? 240));
  };
  new ResizeObserver(() => {
    if (box.clientWidth !== drawn) redraw();
  }).observe(box);
  return {
    box,
    update(next) {
      current = next;
      redraw();
    },
  };
}

export function legend(entries) {
  return el("ul", { class: "legend" }, entries.map(({ color, name, value }) => el("li", { class: color },
    el("span", { class: "swatch", "aria-hidden": "true" }), el("b", {}, name, value ? ` ${value}` : ""))));
}
