// One image at full size: what made it, what it cost, and the command that makes it again.
let detailList = [];
let detailAt = 0;

function openDetail(list, item) {
  detailList = list;
  detailAt = list.indexOf(item);
  drawDetail();
  if (!byId("detail").open) byId("detail").showModal();
}

function stepDetail(step) {
  const next = detailAt + step;
  if (next < 0 || next >= detailList.length) return;
  detailAt = next;
  drawDetail();
}

function closeDetail() {
  const at = detailList[detailAt];
  byId("detail").close();
  byId("sheet").querySelector(`[data-item="${at}"]`)?.focus();
}

function drawDetail() {
  const item = data.items[detailList[detailAt]];
  const cell = data.cells[item.cell];
  byId("detail-title").textContent = `${short(cell.name, 80)} (${detailAt + 1} of ${detailList.length})`;
  byId("previous").disabled = detailAt === 0;
  byId("next").disabled = detailAt === detailList.length - 1;
  byId("detail-body").replaceChildren(detailImage(item, cell), detailFacts(item, cell));
  byId("detail-body").scrollTop = 0;
}

function detailImage(item, cell) {
  const figure = make("figure");
  const fault = faultOf(item, cell);
  if (item.thumb) {
    const image = make("img", { src: item.href, alt: item.prompt });
    image.addEventListener("load", () => image.classList.toggle("small", image.naturalWidth < 224)); // its own pixels, not a blur
    const caption = make("figcaption", {}, make("a", { href: item.href }, item.file));
    image.addEventListener("error", () => {
      if (image.src === item.thumb) return;
      image.src = item.thumb;
      caption.append(" is not beside this page; this is its thumbnail");
    });
    figure.append(image, caption);
  }
  if (fault) figure.append(make("p", { class: "reason" }, make("strong", {}, cell.status === "complete" ? "no image" : cell.status), ` ${fault}`));
  return figure;
}

function detailFacts(item, cell) {
  const rows = [
    ["prompt", item.prompt], ["negative prompt", item.negative],
    ...settingKeys.map((at) => [data.keys[at].name, valueOf(item, at)]),
    ["seed", item.seed], ["size", item.size],
    ["seconds an image", seconds(cell.seconds)], ["evaluations an image", number(cell.evaluations)],
    ["scheduler", cell.scheduler], ["timesteps", cell.timesteps], ["device", cell.device],
    ["effective precision", precisionOf(cell)], ["batch", number(cell.batch)],
    ["substitutions", cell.substitutions.join("\n")],
    ...data.times.map((name, at) => [timeLabel(name), seconds(cell.times[at])]),
    ...data.memory.map((name, at) => [memoryLabel(name), cell.memory[at] === null ? "" : `${number(cell.memory[at], 4)} MB`]),
    ["sha256 of the pixels", item.sha256],
    ["trust", item.changed ? "the pixels are not the ones that the record names" : ""],
  ];
  const list = make("dl", {}, ...rows.filter(([, value]) => value !== "" && value !== undefined).flatMap(([name, value]) => [
    make("dt", {}, name), make("dd", { dir: "auto" }, value)]));
  return make("div", {}, again(item), list, profile(cell.profile),
    fold("Recipe", Object.entries(configOf(cell))), fold("Weights (sha256)", Object.entries(data.shared[cell.weights])),
    fold("Versions", [...Object.entries(data.shared[cell.versions]), ...Object.entries(data.shared[cell.git]).map(([name, value]) => [`git ${name}`, value])]),
    make("p", {}, cell.record ? make("a", { href: cell.record }, "record.json") : ""));
}

function again(item) {
  if (!item.command) {
    return make("p", { class: "again" }, "There is no image to replay. The command that made the sweep, given again, makes what is missing and repeats nothing.");
  }
  const code = make("code", { id: "command" }, item.command);
  const button = make("button", { type: "button", onclick: () => copy(code, button) }, "Copy");
  return make("div", { class: "again" }, make("span", {}, "Make it again, and check that it is the same:"), make("pre", {}, code), button);
}

async function copy(code, button) {
  getSelection().selectAllChildren(code);
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Selected: copy it with the keyboard";
  }
}

function fold(title, entries) {
  if (!entries.length) return null;
  const text = entries.map(([name, value]) => `${name}: ${value}`).join("\n");
  return make("details", { open: title === "Recipe" }, make("summary", {}, title), make("pre", { dir: "auto" }, text));
}

// Where the time of a profiled run went, by component and evaluation by evaluation.
function profile({ components, steps }) {
  if (!components.length && !steps.length) return null;
  const total = components.reduce((sum, [, value]) => sum + value, 0);
  const bar = (share) => makeSvg("svg", { viewBox: "0 0 100 10", class: "bars", preserveAspectRatio: "none", "aria-hidden": "true" },
    makeSvg("rect", { x: 0, y: 0, width: 100 * share, height: 10 }));
  const rows = components.map(([name, value]) => make("tr", {}, make("th", { scope: "row" }, name), make("td", { class: "number" }, seconds(value)),
    make("td", { class: "number" }, total ? `${(100 * value / total).toFixed(1)} %` : ""), make("td", {}, bar(total ? value / total : 0))));
  const most = Math.max(...steps.map(([, value]) => value));
  const column = ([name, value], at) => makeSvg("rect", { x: at, y: 40 * (1 - value / most), width: 0.8, height: 40 * value / most },
    makeSvg("title", {}, `${name}: ${seconds(value)}`));
  const chart = steps.length && most > 0 ? makeSvg("svg", { viewBox: `0 0 ${steps.length} 40`, class: "bars steps", preserveAspectRatio: "none" }, ...steps.map(column)) : "";
  const words = steps.length ? `${steps.length} evaluations, ${seconds(Math.min(...steps.map(([, value]) => value)))} to ${seconds(most)} each` : "";
  return make("details", { open: true }, make("summary", {}, "Profile"), make("table", { class: "profile" }, make("tbody", {}, ...rows)), chart, make("p", { class: "hint" }, words));
}

function configOf(cell) {
  const config = { ...data.common, ...cell.config };
  for (const name of cell.without) delete config[name];
  return config;
}

function precisionOf(cell) {
  const [weights, compute, vae] = cell.precision;
  if (!weights && !compute && !vae) return "";
  if (weights === compute && compute === vae) return weights;
  return `weights ${weights}, arithmetic ${compute}, VAE ${vae}`;
}

const timeLabel = (name) => name.replace(/_s$/, "");
const memoryLabel = (name) => name.replace(/_mb$/, "").replaceAll("_", " ");
