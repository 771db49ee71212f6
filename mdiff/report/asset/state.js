// What the page shows, kept in the address so that a reload or a link shows the same.
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

const IMAGE_KEYS = new Set(["prompt", "negative prompt", "seed", "size", "cell"]);
const settingKeys = data.keys.map((key, at) => at).filter((at) => !IMAGE_KEYS.has(data.keys[at].name));
const itemsOfCell = data.cells.map(() => []);
data.items.forEach((item, at) => itemsOfCell[item.cell].push(at));

const state = {
  tab: "images", row: data.row ?? "", column: data.column ?? "", size: "", x: "seconds", y: "psnr", reference: "0",
  level: "setting", colour: "", floor: "", sort: "", filter: "",
};
const initial = { ...state };
const pages = new Map();

function loadState() {
  const hash = new URLSearchParams(location.hash.slice(1));
  for (const [name, value] of hash) {
    if (name.startsWith("page.")) pages.set(name.slice(5), value);
    else if (Object.hasOwn(state, name)) state[name] = value;
  }
  const known = (name) => name === "" || data.keys.some((key) => key.name === name);
  if (!known(state.row)) state.row = "";
  if (!known(state.column)) state.column = "";
}

function saveState() {
  const hash = new URLSearchParams();
  for (const [name, value] of Object.entries(state)) if (value !== initial[name]) hash.set(name, value);
  for (const [name, value] of pages) hash.set(`page.${name}`, value);
  history.replaceState(null, "", `#${hash}`);
}

// Everything that comes from a record enters the page here, as text, never as markup.
function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  setAll(node, attributes);
  node.append(...children.filter((child) => child !== null && child !== ""));
  return node;
}

function makeSvg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  setAll(node, attributes);
  node.append(...children);
  return node;
}

function setAll(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
}

function fillSelect(select, choices, value) {
  select.replaceChildren(...choices.map(([name, label]) => make("option", { value: name }, label)));
  select.value = value;
  if (select.selectedIndex < 0 && choices.length) select.selectedIndex = 0;
  return select.value;
}

function short(text, length = 60) {
  const line = String(text).replace(/\s+/g, " ").trim();
  const letters = Array.from(line);
  return letters.length > length ? `${letters.slice(0, length - 1).join("")}…` : line;
}

const keyAt = (name) => data.keys.findIndex((key) => key.name === name);
const valueOf = (item, at) => data.keys[at].values[item.values[at]];
const settingOf = (item) => settingKeys.map((at) => `${data.keys[at].name}=${valueOf(item, at)}`).join(" ");

function number(value, digits = 3) {
  if (value === null || value === undefined) return "";
  if (value === Infinity) return "∞";
  if (value !== 0 && Math.abs(value) < 0.001) return value.toExponential(1);
  return Number(value.toPrecision(Math.max(digits, Math.ceil(Math.log10(Math.abs(value) + 1))))).toString();
}

const seconds = (value) => (value === null || value === undefined ? "" : `${number(value)} s`);
const psnr = (error) => (error === 0 ? Infinity : 10 * Math.log10(255 ** 2 / error));

// Mean distance of some images to a reference: PSNR of the mean squared error, and mean SSIM.
function distance(items, reference) {
  const pairs = items.map((at) => data.items[at].distance[reference]).filter((pair) => pair !== undefined);
  if (!pairs.length) return null;
  const similar = pairs.map((pair) => pair[1]).filter((value) => value !== null);
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  return { psnr: psnr(mean(pairs.map((pair) => pair[0]))), ssim: similar.length ? mean(similar) : null, count: pairs.length };
}
