// The contact sheet: images laid out by two keys, the other keys in pagers.
const THUMBNAIL_SIDE = 192;
let sheetOrder = [];

function drawSheet() {
  const row = keyAt(state.row);
  const column = keyAt(state.column);
  drawAxes();
  drawPagers(data.keys.map((key, at) => at).filter((at) => at !== row && at !== column));
  const items = data.items.map((item, at) => at).filter((at) => onPage(data.items[at], row, column));
  const size = Number(state.size) || defaultSize(items, row, column);
  byId("size").value = size;
  byId("sheet").style.setProperty("--tile", `${size}px`);
  const grid = row >= 0 && column >= 0 ? twoAxes(items, row, column) : oneAxis(items, Math.max(row, column));
  byId("sheet").replaceChildren(items.length ? grid : make("p", {}, "No image has these settings."));
  sheetOrder = [...byId("sheet").querySelectorAll(".tile")].map((node) => Number(node.dataset.item));
}

// The columns of a table fill the width, as far as images can be told apart and thumbnails are not blown up.
function defaultSize(items, row, column) {
  const narrow = innerWidth < 600;
  if (row < 0 || column < 0) return narrow ? 104 : 160;
  const columns = new Set(items.map((at) => data.items[at].values[column])).size;
  const letters = Math.max(state.row.length + 2, state.column.length + 2, ...items.map((at) => valueOf(data.items[at], row).length));
  const labels = narrow ? 92 : Math.min(150, 16 + 9 * letters);
  return Math.max(narrow ? 88 : 112, Math.min(THUMBNAIL_SIDE, Math.floor((byId("sheet").clientWidth - labels - 20) / columns) - 7));
}

function drawAxes() {
  const choices = [["", "none"], ...data.keys.map((key) => [key.name, `${short(key.name)} (${key.values.length})`])];
  fillSelect(byId("row"), choices, state.row);
  fillSelect(byId("column"), choices, state.column);
}

function setAxis(axis, name) {
  const other = axis === "row" ? "column" : "row";
  if (name !== "" && state[other] === name) state[other] = state[axis];
  state[axis] = name;
}

function drawPagers(keys) {
  const focused = document.activeElement?.id;
  byId("pagers").replaceChildren(...keys.map((at) => pager(at)));
  if (focused?.startsWith("page-")) byId(focused)?.focus();
}

function pager(at) {
  const key = data.keys[at];
  const turn = (step) => {
    const values = key.values;
    const now = values.indexOf(pageOf(at));
    const next = now < 0 ? (step > 0 ? 0 : values.length - 1) : (now + step + values.length) % values.length;
    turnTo(at, values[next]);
  };
  const select = make("select", { id: `page-${at}`, onchange: (event) => turnTo(at, event.target.value) });
  const options = key.values.map((value, n) => [value, `${short(value, 40) || "(empty)"}  (${n + 1} of ${key.values.length})`]);
  fillSelect(select, [["\u0000all", "all"], ...options], pageOf(at));
  const button = (step, sign, word) => {
    const label = `${word} ${key.name}`;
    return make("button", { type: "button", id: `page-${at}-${word}`, "aria-label": label, onclick: () => turn(step) }, sign);
  };
  return make("span", { class: "pager" }, button(-1, "‹", "previous"), make("label", {}, `${short(key.name, 30)} `, select), button(1, "›", "next"));
}

function turnTo(at, value) {
  pages.set(data.keys[at].name, value);
  saveState();
  drawSheet();
}

// Until something is chosen, a page shows what the first image has; an incomplete grid shows everything at once.
function pageOf(at) {
  const key = data.keys[at];
  const chosen = pages.get(key.name);
  if (chosen === "\u0000all" || key.values.includes(chosen)) return chosen;
  return gridIsFull() ? valueOf(data.items.find((item) => item.thumb) ?? data.items[0], at) : "\u0000all";
}

function gridIsFull() {
  const places = data.keys.reduce((count, key) => count * key.values.length, 1);
  return data.items.length * 2 >= places;
}

function onPage(item, row, column) {
  return data.keys.every((key, at) => {
    if (at === row || at === column) return true;
    const value = pageOf(at);
    return value === "\u0000all" || valueOf(item, at) === value;
  });
}

function twoAxes(items, row, column) {
  const used = (at) => data.keys[at].values.map((_, n) => n).filter((n) => items.some((i) => data.items[i].values[at] === n));
  const columns = used(column);
  const slots = new Map();
  for (const at of items) {
    const place = `${data.items[at].values[row]}:${data.items[at].values[column]}`;
    if (!slots.has(place)) slots.set(place, []);
    slots.get(place).push(at);
  }
  const label = (at, n, scope) => make("th", { scope, dir: "auto", title: data.keys[at].values[n] }, short(data.keys[at].values[n], 80) || "(empty)");
  const corner = make("td", {}, `${short(state.row, 30)} ↓`, make("br"), `${short(state.column, 30)} →`);
  const head = make("thead", {}, make("tr", {}, corner, ...columns.map((n) => label(column, n, "col"))));
  const body = make("tbody", {}, ...used(row).map((r) => make("tr", {}, label(row, r, "row"), ...columns.map((c) =>
    make("td", {}, ...(slots.get(`${r}:${c}`) ?? []).map((at) => tile(at)))))));
  return make("div", { class: "scroll" }, make("table", { class: "sheet" }, head, body));
}

function oneAxis(items, axis) {
  const order = axis < 0 ? items : [...items].sort((a, b) => data.items[a].values[axis] - data.items[b].values[axis]);
  return make("div", { class: "flow" }, ...order.map((at) => {
    const value = axis < 0 ? "" : valueOf(data.items[at], axis);
    return make("div", {}, value === "" ? "" : make("div", { class: "label", dir: "auto", title: value }, short(value, 80)), tile(at));
  }));
}

function tile(at) {
  const item = data.items[at];
  const cell = data.cells[item.cell];
  const button = make("button", { type: "button", class: "tile", "data-item": at });
  const fault = faultOf(item, cell);
  if (item.thumb) {
    const large = (Number(state.size) || 0) > THUMBNAIL_SIDE;
    const image = make("img", { src: large ? item.href : item.thumb, alt: short(item.prompt, 120), loading: "lazy", decoding: "async" });
    if (large) image.addEventListener("error", () => { image.src = item.thumb; }, { once: true });
    button.append(image);
  }
  if (fault) {
    button.classList.add("fault");
    button.append(make("span", { class: "reason" }, make("strong", {}, cell.status === "complete" ? "no image" : cell.status), ` ${short(fault, 160)}`));
  }
  const facts = [seconds(cell.seconds), cell.evaluations === null ? "" : `${number(cell.evaluations)} ev`, `seed ${item.seed}`, ...mixed(item)];
  button.append(make("span", { class: "facts" }, facts.filter(Boolean).join(" · ")));
  button.setAttribute("aria-label", [short(item.prompt, 80), settingOf(item), `seed ${item.seed}`, fault].filter(Boolean).join(", "));
  return button;
}

// What neither the axes nor the pagers say of an image, where a page shows all values of a key.
function mixed(item) {
  const said = new Set([state.row, state.column, "seed", "cell"]);
  const keys = data.keys.map((key, at) => at).filter((at) => !said.has(data.keys[at].name) && pageOf(at) === "\u0000all");
  return keys.map((at) => short(valueOf(item, at), 28)).filter((text) => text !== "");
}

function faultOf(item, cell) {
  if (cell.status !== "complete") return cell.error;
  return item.fault ?? (item.thumb ? "" : "no image");
}

// Arrow keys go to the nearest tile in their direction, whatever the layout.
function moveFocus(event) {
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const step = steps[event.key];
  const here = event.target.closest(".tile");
  if (!step || !here) return;
  event.preventDefault();
  const middle = (node) => {
    const box = node.getBoundingClientRect();
    return [box.left + box.width / 2, box.top + box.height / 2];
  };
  const [x, y] = middle(here);
  let best = null;
  let least = Infinity;
  for (const node of byId("sheet").querySelectorAll(".tile")) {
    const [u, v] = middle(node);
    const along = (u - x) * step[0] + (v - y) * step[1];
    const across = Math.abs((u - x) * step[1]) + Math.abs((v - y) * step[0]);
    if (along > 4 && along + 8 * across < least) [best, least] = [node, along + 8 * across];
  }
  best?.focus();
  best?.scrollIntoView({ block: "nearest", inline: "nearest" });
}
