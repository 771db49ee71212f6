// Puts the parts together: the head of the page, the tabs, and what each control does.
const TABS = { images: drawSheet, plot: drawPlot, table: drawTable };

function drawHead() {
  byId("title").textContent = data.title;
  const counts = new Map();
  for (const cell of data.cells) counts.set(cell.status, (counts.get(cell.status) ?? 0) + 1);
  const statuses = [...counts].map(([status, count]) => `${count} ${status}`).join(", ");
  const images = data.items.filter((item) => item.thumb).length;
  byId("summary").textContent = `${data.cells.length} ${data.cells.length === 1 ? "cell" : "cells"} (${statuses}) · ${images} images · written ${data.written}`;
  const faults = data.cells.filter((cell) => cell.status !== "complete");
  const changed = data.items.filter((item) => item.changed).map((item) => `${data.cells[item.cell].name}/${item.file}`);
  const lists = [
    notice("cells without a result", faults.map((cell) => `${cell.name}: ${cell.status}: ${cell.error}`)),
    notice("images whose pixels are not the ones that their record names", changed),
    notice("notes", data.notices),
  ];
  byId("notices").replaceChildren(...lists.filter((list) => list !== null));
  byId("common").querySelector("pre").textContent = Object.entries(data.common).map(([name, value]) => `${name}: ${value}`).join("\n");
}

function notice(title, lines) {
  if (!lines.length) return null;
  const listed = lines.slice(0, 200).map((line) => make("li", { dir: "auto" }, short(line, 400)));
  const rest = lines.length > 200 ? make("li", {}, `and ${lines.length - 200} more, in the table`) : null;
  return make("details", { class: "notice", open: lines.length <= 5 }, make("summary", {}, `${lines.length} ${title}`), make("ul", {}, ...listed, rest));
}

function show(tab) {
  state.tab = Object.hasOwn(TABS, tab) ? tab : "images";
  for (const name of Object.keys(TABS)) {
    const selected = name === state.tab;
    byId(name).hidden = !selected;
    byId(`tab-${name}`).setAttribute("aria-selected", String(selected));
    byId(`tab-${name}`).tabIndex = selected ? 0 : -1;
  }
  TABS[state.tab]();
  saveState();
}

function connect() {
  const names = Object.keys(TABS);
  for (const [at, name] of names.entries()) {
    byId(`tab-${name}`).addEventListener("click", () => show(name));
    byId(`tab-${name}`).addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = names[(at + step + names.length) % names.length];
      show(next);
      byId(`tab-${next}`).focus();
    });
  }
  const redraw = (id, change) => byId(id).addEventListener("change", (event) => { change(event.target.value); show(state.tab); });
  redraw("row", (value) => setAxis("row", value));
  redraw("column", (value) => setAxis("column", value));
  for (const name of ["x", "reference", "level", "colour", "floor"]) redraw(name, (value) => { state[name] = value; });
  redraw("y", (value) => { state.y = value; state.floor = ""; });
  byId("size").addEventListener("input", (event) => { state.size = event.target.value; byId("sheet").style.setProperty("--tile", `${state.size}px`); });
  redraw("size", (value) => { state.size = value; });
  byId("filter").addEventListener("input", (event) => { state.filter = event.target.value; drawTable(); saveState(); });
  byId("cells").addEventListener("click", (event) => {
    const { column, open } = event.target.closest("button")?.dataset ?? {};
    if (open !== undefined) openDetail(itemsOfCell[Number(open)], itemsOfCell[Number(open)][0]);
    if (column === undefined) return;
    setSort(column);
    show("table");
    [...byId("cells").querySelectorAll("[data-column]")].find((node) => node.dataset.column === column)?.focus();
  });
  byId("sheet").addEventListener("click", (event) => {
    const node = event.target.closest(".tile");
    if (node) openDetail(sheetOrder, Number(node.dataset.item));
  });
  byId("sheet").addEventListener("keydown", moveFocus);
  byId("previous").addEventListener("click", () => stepDetail(-1));
  byId("next").addEventListener("click", () => stepDetail(1));
  byId("close").addEventListener("click", closeDetail);
  byId("detail").addEventListener("cancel", (event) => { event.preventDefault(); closeDetail(); });
  byId("detail").addEventListener("click", (event) => { if (event.target === byId("detail")) closeDetail(); });
  byId("detail").addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") stepDetail(-1);
    else if (event.key === "ArrowRight") stepDetail(1);
  });
}

let lastWidth = innerWidth;
addEventListener("resize", () => {
  if (innerWidth !== lastWidth && state.tab === "plot") drawPlot();
  lastWidth = innerWidth;
});

loadState();
drawHead();
connect();
show(state.tab);
document.documentElement.dataset.ready = String(Math.round(performance.now()));
