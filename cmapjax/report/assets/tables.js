/* Tables sort by a click on a head: numbers by value, words by letters, what is missing last. */

function sortTable(table, column, isAscending) {
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row, place) => {
    const cell = row.cells[column];
    const text = cell.dataset.value ?? cell.textContent;
    const number = text === "inf" ? Infinity : text === "-inf" ? -Infinity : Number(text);
    return { row, place, text, isNumber: text !== "" && !Number.isNaN(number), number };
  });
  rows.sort((a, b) => {
    if ((a.text === "") !== (b.text === "")) return a.text === "" ? 1 : -1;
    let order = a.isNumber && b.isNumber ? (a.number < b.number ? -1 : a.number > b.number ? 1 : 0)
      : a.isNumber !== b.isNumber ? (a.isNumber ? -1 : 1) : a.text.localeCompare(b.text, "en", { numeric: true });
    if (!isAscending) order = -order;
    return order || a.place - b.place;
  });
  body.append(...rows.map((r) => r.row));
}

function makeSortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const isAscending = head.getAttribute("aria-sort") !== "ascending";
      for (const other of heads) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", isAscending ? "ascending" : "descending");
      sortTable(table, column, isAscending);
    });
  });
}

function tableOf(place, caption, heads, rows) {
  const table = element("table", { id: `${place}-rows` });
  table.append(element("caption", {}, caption));
  const head = element("tr");
  heads.forEach((text, k) => {
    const kind = typeof rows[0]?.[k][0] === "number" ? "number" : "word";
    const button = element("button", { type: "button" }, text);
    head.append(element("th", { scope: "col", "aria-sort": "none", class: kind }, button));
  });
  table.append(element("thead", {}, head));
  const body = element("tbody");
  for (const row of rows) {
    const line = element("tr");
    for (const [value, text] of row) {
      const cell = element("td", { "data-value": value === null ? "" : value }, text);
      if (typeof value === "number") cell.className = "number";
      line.append(cell);
    }
    body.append(line);
  }
  table.append(body);
  makeSortable(table);
  byId(`${place}-table`).replaceChildren(table);
}

/* A line per strategy under a chart: what the eye reads off, in numbers. */
function readout(place, lines) {
  const list = element("ul", { class: "readout" });
  for (const { play, value, text } of lines)
    list.append(element("li", { "data-play": play, "data-value": value ?? "" }, swatch(play),
      `${DATA.plays[play]}: ${text}`));
  byId(`${place}-table`).replaceChildren(list);
}
