// Speed against distance to a reference: the cheapest setting that still looks the same.
const COLOURS = 8;
const SHAPES = [
  "M-5 0A5 5 0 1 0 5 0A5 5 0 1 0 -5 0Z", "M-4.5 -4.5H4.5V4.5H-4.5Z", "M0 -6L5.5 4H-5.5Z", "M0 -6L6 0L0 6L-6 0Z",
  "M0 6L5.5 -4H-5.5Z", "M-2 -6H2V-2H6V2H2V6H-2V2H-6V-2H-2Z", "M-6 -4L-4 -6L0 -2L4 -6L6 -4L2 0L6 4L4 6L0 2L-4 6L-6 4L-2 0Z",
  "M0 -6L1.8 -1.9L6 -1.9L2.7 1.2L3.9 5.6L0 3L-3.9 5.6L-2.7 1.2L-6 -1.9L-1.8 -1.9Z",
];
const ACROSS = {
  seconds: ["seconds an image (encode, denoise, decode)", (cell) => cell.seconds],
  denoise: ["seconds of denoising an image", (cell) => perImage(cell, "denoise_s")],
  total: ["total seconds an image", (cell) => perImage(cell, "total_s")],
  evaluations: ["network evaluations an image", (cell) => cell.evaluations],
};
const BRIEF = { seconds: "seconds an image", denoise: "seconds of denoising", total: "total seconds", evaluations: "evaluations" };
const UP = { psnr: ["PSNR, dB", "dB", 30], ssim: ["SSIM", "", 0.95] };

function perImage(cell, name) {
  const value = cell.times[data.times.indexOf(name)];
  const count = itemsOfCell[data.cells.indexOf(cell)].length;
  return value === null || !count ? null : value / count;
}

function drawPlot() {
  state.x = fillSelect(byId("x"), Object.entries(ACROSS).map(([name, [label]]) => [name, label]), state.x);
  state.y = fillSelect(byId("y"), Object.entries(UP).map(([name, [label]]) => [name, label]), state.y);
  state.reference = fillSelect(byId("reference"), data.references.map((label, at) => [String(at), short(label, 90) || "the only setting"]), state.reference);
  state.level = fillSelect(byId("level"), [["setting", "a setting (mean of its prompts and seeds)"], ["cell", "a cell"], ["image", "an image"]], state.level);
  const colourKeys = data.keys.map((key) => [key.name, short(key.name)]);
  const preferred = settingKeys.map((at) => data.keys[at].name);
  state.colour = fillSelect(byId("colour"), [["-", "none"], ...colourKeys], state.colour || (preferred.includes(data.row) ? data.row : preferred[0]) || "-");
  const floor = state.floor === "" ? UP[state.y][2] : Number(state.floor);
  byId("floor").value = floor;
  const points = plotPoints();
  markFront(points);
  byId("figure").replaceChildren(points.length ? figure(points, floor) : make("p", {}, "There is nothing to measure: no two images of one prompt, seed and size."));
  drawLegend();
  drawAnswer(points, floor);
  drawNumbers(points);
}

function plotPoints() {
  const groups = new Map();
  data.items.forEach((item, at) => {
    if (item.distance[state.reference] === undefined) return;
    const name = state.level === "setting" ? settingOf(item) : state.level === "cell" ? data.cells[item.cell].name : `${data.cells[item.cell].name}/${item.file}`;
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(at);
  });
  const chosen = new Set(data.chosen[Number(state.reference)]);
  const colour = keyAt(state.colour);
  const points = [];
  for (const [name, items] of groups) {
    const costs = items.map((at) => ACROSS[state.x][1](data.cells[data.items[at].cell])).filter((value) => value !== null);
    const far = distance(items, state.reference);
    if (!costs.length || far[state.y] === null) continue;
    const values = new Set(items.map((at) => (colour < 0 ? -1 : data.items[at].values[colour])));
    points.push({
      name: name || "the only setting", items, x: costs.reduce((sum, value) => sum + value, 0) / costs.length, y: far[state.y],
      psnr: far.psnr, ssim: far.ssim, series: values.size === 1 ? [...values][0] : -1,
      reference: items.every((at) => chosen.has(at)), front: false,
    });
  }
  return points.sort((a, b) => a.x - b.x || b.y - a.y);
}

// Points are in order of cost: a point is on the Pareto front if nothing cheaper is as close.
function markFront(points) {
  let best = -Infinity;
  for (const point of points) {
    if (point.y > best) [point.front, best] = [true, point.y];
  }
}

function figure(points, floor) {
  const width = Math.min(900, Math.max(340, byId("figure").clientWidth || 760));
  const [height, left, right, top, bottom] = [Math.round(width * 0.4 + 120), 66, 16, 34, 48];
  const finite = points.map((point) => point.y).filter(Number.isFinite);
  const xs = points.map((point) => point.x);
  const log = Math.min(...xs) > 0 && Math.max(...xs) > 20 * Math.min(...xs);
  const xTicks = log ? logTicks(Math.min(...xs), Math.max(...xs)) : ticks(0, Math.max(...xs), width / 110);
  const yTicks = state.y === "ssim" ? ticks(Math.min(...finite, floor, 0.999), 1) : ticks(Math.min(...finite, floor), Math.max(...finite, floor));
  const scale = (value, from, low, high) => low + (high - low) * (from[1] === from[0] ? 0.5 : (value - from[0]) / (from[1] - from[0]));
  const warp = log ? Math.log10 : (value) => value;
  const xRange = [warp(xTicks[0]), warp(xTicks.at(-1))];
  const yRange = [yTicks[0], yTicks.at(-1)];
  const X = (value) => scale(warp(value), xRange, left, width - right);
  const Y = (value) => (value === Infinity ? top - 16 : scale(value, yRange, height - bottom, top));
  const parts = [];
  for (const tick of xTicks) {
    parts.push(makeSvg("line", { class: "rule", x1: X(tick), x2: X(tick), y1: top, y2: height - bottom }),
      makeSvg("text", { class: "tick", x: X(tick), y: height - bottom + 18, "text-anchor": "middle" }, number(tick)));
  }
  for (const tick of yTicks) {
    parts.push(makeSvg("line", { class: "rule", x1: left, x2: width - right, y1: Y(tick), y2: Y(tick) }),
      makeSvg("text", { class: "tick", x: left - 8, y: Y(tick) + 4, "text-anchor": "end" }, number(tick)));
  }
  if (points.some((point) => point.y === Infinity)) {
    parts.push(makeSvg("text", { class: "tick", x: left - 8, y: Y(Infinity) + 4, "text-anchor": "end" }, "identical"),
      makeSvg("line", { class: "rule", x1: left, x2: width - right, y1: Y(Infinity), y2: Y(Infinity) }));
  }
  if (floor >= yRange[0] && floor <= yRange[1]) parts.push(makeSvg("line", { class: "floor", x1: left, x2: width - right, y1: Y(floor), y2: Y(floor) }));
  parts.push(makeSvg("text", { class: "axis", x: (left + width - right) / 2, y: height - 10, "text-anchor": "middle" }, (width < 560 ? BRIEF[state.x] : ACROSS[state.x][0]) + (log ? ", logarithmic" : "")),
    makeSvg("text", { class: "axis", transform: `translate(14 ${(top + height - bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, UP[state.y][0]));
  const front = points.filter((point) => point.front);
  parts.push(makeSvg("polyline", { class: "front", points: front.map((point) => `${X(point.x)},${Y(point.y)}`).join(" ") }));
  points.forEach((point, at) => parts.push(marker(point, at, X(point.x), Y(point.y))));
  if (state.level === "setting") parts.push(...names(front.map((point) => [point, X(point.x), Y(point.y)]), points.map((point) => [X(point.x), Y(point.y)]), width));
  const label = `${UP[state.y][0]} against ${ACROSS[state.x][0]}, ${points.length} points; the table below has the numbers`;
  return makeSvg("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": label }, ...parts);
}

function marker(point, at, x, y) {
  const text = `${point.name}: ${number(point.x)}, PSNR ${number(point.psnr, 4)} dB, SSIM ${number(point.ssim, 4) || "unknown"}${point.front ? ", on the Pareto front" : ""}${point.reference ? ", the reference" : ""}`;
  const open = () => openDetail(point.items, point.items[0]);
  const onkey = (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); open(); } };
  const shape = makeSvg("path", { d: SHAPES[Math.max(0, point.series) % SHAPES.length] });
  const group = makeSvg("g", {
    class: `point ${seriesClass(point.series)}`, transform: `translate(${x} ${y})`, tabindex: 0, role: "button", "aria-label": text,
    "data-point": at, "data-x": point.x, "data-y": point.y, "data-front": String(point.front), onclick: open, onkeydown: onkey,
  }, makeSvg("title", {}, text));
  if (point.front) group.append(makeSvg("circle", { class: "ring", r: 10 }));
  group.append(shape);
  return group;
}

// The values of a setting beside its point, for the Pareto front and as far as they do not cover anything.
function names(front, taken, width) {
  const boxes = taken.map(([x, y]) => [x - 8, y - 8, x + 8, y + 8]);
  const labels = [];
  for (const [point, x, y] of front) {
    const words = short(point.name.split(" ").map((word) => word.slice(word.indexOf("=") + 1)).join(" "), 32);
    const long = words.length * 6.6;
    for (const [left, base] of [[x + 14, y + 4], [x + 12, y + 18], [x - long - 14, y + 4], [x - long - 8, y - 14]]) {
      const box = [left, base - 11, left + long, base + 3];
      const free = box[0] > 66 && box[2] < width && boxes.every((other) => box[0] > other[2] || box[2] < other[0] || box[1] > other[3] || box[3] < other[1]);
      if (!free) continue;
      boxes.push(box);
      labels.push(makeSvg("text", { class: "name", x: left, y: base }, words));
      break;
    }
  }
  return labels;
}

const seriesClass = (series) => (series < 0 ? "series-none" : `series-${series % COLOURS}`);

function drawLegend() {
  const key = data.keys[keyAt(state.colour)];
  const values = key === undefined ? [] : key.values.slice(0, 40);
  const swatch = (at) => makeSvg("svg", { viewBox: "-8 -8 16 16", class: `swatch point ${seriesClass(at)}`, "aria-hidden": "true" }, makeSvg("path", { d: SHAPES[at % SHAPES.length] }));
  byId("legend").replaceChildren(...values.map((value, at) => make("li", { dir: "auto" }, swatch(at), short(value, 60) || "(empty)")));
}

function drawAnswer(points, floor) {
  const reference = points.filter((point) => point.reference);
  const enough = points.filter((point) => point.y >= floor && !point.reference);
  const limit = `${floor} ${UP[state.y][1]}`.trim();
  const pairs = data.pairs;
  byId("measured").textContent = [pairs.missing ? `${pairs.missing} of ${pairs.all} distances are not measured yet.` : "",
    pairs.left_out ? `${pairs.left_out} more settings can be a reference: python -m mdiff.report DIR --reference 'KEY=VALUE …'.` : ""].join(" ");
  if (!points.length) byId("answer").textContent = "";
  else if (!enough.length) byId("answer").textContent = `Nothing but the reference reaches ${limit}.`;
  else {
    const best = enough[0];
    const times = reference.length ? ` ${number(reference.at(-1).x / best.x)} times cheaper than the reference.` : "";
    byId("answer").textContent = `The cheapest from ${limit}: ${short(best.name, 120)} with ${number(best.x)} ${state.x === "evaluations" ? "evaluations" : "s"} an image.${times}`;
  }
}

function drawNumbers(points) {
  const names = ["", ACROSS[state.x][0], "PSNR, dB", "SSIM", "images", "note"];
  const row = (point) => make("tr", { class: point.front ? "on-front" : null },
    make("th", { scope: "row", dir: "auto" }, point.name), make("td", {}, number(point.x, 4)), make("td", {}, number(point.psnr, 4)),
    make("td", {}, number(point.ssim, 4)), make("td", {}, String(point.items.length)),
    make("td", {}, [point.reference ? "reference" : "", point.front ? "Pareto front" : ""].filter(Boolean).join(", ")));
  byId("numbers").replaceChildren(make("thead", {}, make("tr", {}, ...names.map((name) => make("th", { scope: "col" }, name)))), make("tbody", {}, ...points.map(row)));
}

function ticks(low, high, count = 6) {
  if (!Number.isFinite(low) || !Number.isFinite(high)) return [0, 1];
  if (low === high) [low, high] = [low - Math.abs(low || 1) * 0.1, high + Math.abs(high || 1) * 0.1];
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw);
  const first = Math.floor(low / step + 1e-9);
  const last = Math.ceil(high / step - 1e-9);
  return Array.from({ length: last - first + 1 }, (_, n) => Number(((first + n) * step).toPrecision(12)));
}

function logTicks(low, high) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); 10 ** power <= high * 10; power += 1) {
    for (const n of [1, 2, 5]) found.push(Number((n * 10 ** power).toPrecision(12)));
  }
  const from = found.findLastIndex((value) => value <= low);
  return found.slice(Math.max(0, from), found.findIndex((value) => value >= high) + 1);
}
