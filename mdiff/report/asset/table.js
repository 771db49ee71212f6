// Every cell with every figure: sorted by any column, filtered by words and by comparisons.
const tableColumns = makeColumns();

function makeColumns() {
  const distances = data.cells.map((_, at) => distance(itemsOfCell[at], "0"));
  const keyValue = (at) => (cell, n) => [...new Set(itemsOfCell[n].map((i) => valueOf(data.items[i], at)))].join("; ");
  return [
    { name: "cell", value: (cell) => cell.name },
    { name: "status", value: (cell) => cell.status },
    ...data.keys.map((key, at) => ({ name: key.name, value: keyValue(at), numeric: key.numeric })),
    { name: "s/image", value: (cell) => cell.seconds, numeric: true },
    { name: "evaluations", value: (cell) => cell.evaluations, numeric: true },
    ...data.times.map((name, at) => ({ name: timeLabel(name), unit: "s", value: (cell) => cell.times[at], numeric: true })),
    ...data.memory.map((name, at) => ({ name: memoryLabel(name), unit: "MB", value: (cell) => cell.memory[at], numeric: true })),
    { name: "effective precision", value: precisionOf },
    { name: "class", value: (cell) => cell.scheduler },
    { name: "batch", value: (cell) => cell.batch, numeric: true },
    { name: "psnr", unit: "dB", value: (_, n) => distances[n]?.psnr ?? null, numeric: true },
    { name: "ssim", value: (_, n) => distances[n]?.ssim ?? null, numeric: true },
    { name: "substitutions", value: (cell) => cell.substitutions.join("; ") },
    { name: "error", value: (cell) => cell.error },
  ];
}

const tableValues = data.cells.map((cell, n) => tableColumns.map((column) => column.value(cell, n)));

function drawTable() {
  const [sorted, direction] = state.sort.split(":");
  const at = tableColumns.findIndex((column) => column.name === sorted);
  const rows = tableValues.map((values, n) => n).filter(tableFilter(state.filter));
  if (at >= 0) rows.sort((a, b) => compareValues(tableValues[a][at], tableValues[b][at], tableColumns[at].numeric, direction === "down" ? -1 : 1));
  const head = make("tr", {}, ...tableColumns.map((column, n) => {
    const order = n !== at ? "none" : direction === "down" ? "descending" : "ascending";
    const label = column.unit ? `${column.name}, ${column.unit}` : column.name;
    return make("th", { scope: "col", "aria-sort": order }, make("button", { type: "button", "data-column": column.name }, label));
  }));
  byId("cells").replaceChildren(make("thead", {}, head), make("tbody", {}, ...rows.map(tableRow)));
  byId("shown").textContent = `${rows.length} of ${data.cells.length} cells`;
  byId("filter").value = state.filter;
}

function tableRow(n) {
  const cell = data.cells[n];
  const row = make("tr", { class: `status-${cell.status}`, "data-cell": n });
  tableColumns.forEach((column, at) => {
    const value = tableValues[n][at];
    if (at === 0) {
      const name = itemsOfCell[n].length ? make("button", { type: "button", class: "link", "data-open": n }, value) : value;
      row.append(make("th", { scope: "row" }, name));
    } else if (typeof value === "number") row.append(make("td", { class: "number" }, number(value, 4)));
    else row.append(make("td", { dir: "auto", class: column.numeric ? "number" : null, title: value && value.length > 60 ? value : null }, short(value ?? "", 60)));
  });
  return row;
}

// Nothing is last in either direction.
function compareValues(a, b, numeric, direction) {
  const empty = (value) => value === null || value === "" || (numeric && Number.isNaN(Number(value)));
  if (empty(a) || empty(b)) return empty(a) - empty(b);
  if (numeric) return direction * (Number(a) === Number(b) ? 0 : Number(a) - Number(b));
  return direction * String(a).localeCompare(String(b), "en", { numeric: true });
}

function setSort(name) {
  state.sort = state.sort === `${name}:up` ? `${name}:down` : `${name}:up`;
}

// `steps>=20 status=complete heun`: comparisons on columns and words anywhere, all of which must hold.
function tableFilter(text) {
  const terms = [...text.matchAll(/"([^"]*)"|(\S+)/g)].map((match) => (match[1] === undefined ? term(match[2]) : words(match[1])));
  return (n) => terms.every((test) => test(n));
}

function words(text) {
  const wanted = text.toLowerCase();
  return (n) => tableValues[n].some((value) => String(value ?? "").toLowerCase().includes(wanted));
}

function term(text) {
  const match = /^([^<>=!]+)(<=|>=|!=|=|<|>)(.*)$/.exec(text);
  const at = match ? tableColumns.findIndex((column) => column.name.toLowerCase().replaceAll(" ", "-") === match[1].toLowerCase()) : -1;
  if (at < 0) return words(text);
  const [, , sign, wanted] = match;
  return (n) => {
    const value = tableValues[n][at];
    const same = String(value ?? "").toLowerCase() === wanted.toLowerCase();
    if (sign === "=") return same || (value !== null && value !== "" && Number(value) === Number(wanted));
    if (sign === "!=") return !same;
    if (value === null || value === "") return false;
    return { "<": Number(value) < Number(wanted), ">": Number(value) > Number(wanted), "<=": Number(value) <= Number(wanted), ">=": Number(value) >= Number(wanted) }[sign];
  };
}
