"use strict";
/* Lays parts of figures, made beforehand, over each other as the reader's choices say; the numbers are in them. */

const byId = (id) => document.getElementById(id);
const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
const darkScheme = matchMedia("(prefers-color-scheme: dark)"), isTouch = matchMedia("(pointer: coarse)").matches;
let DATA, isPrinting = false;
const isNarrow = () => !isPrinting && innerWidth < 600;
const CONFIG = {
  displaylogo: false, responsive: true, showSendToCloud: false, displayModeBar: isTouch || innerWidth < 600 ? false : "hover",
  modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"], toImageButtonOptions: { format: "svg" },
};

async function unpacked(id) {
  const bytes = Uint8Array.from(atob(byId(id).textContent), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

/* -- what is chosen ------------------------------------------------------------------------------- */

const condition = () => all("#conditions select").map((select) => select.value);
const isShown = (play) => byId("plays").querySelector(`input[value="${play}"]`).checked;

/* Not every choice has cells: the one made last then stands alone. */
function choose(changed) {
  if (DATA.conditions.includes(condition().join())) return;
  for (const select of all("#conditions select")) if (select !== changed) select.value = "-1";
}

function figureOf(name) {
  const values = { condition: condition().join() };
  const figure = {};
  for (const { by, figures } of DATA.charts[name].parts)
    overlay(figure, figures[by.map((id) => String(values[id] ?? byId(`${name}-${id}`).value)).join("|")]);
  return figure;
}

/* Lists of objects are laid over each other one by one, all else replaces. */
function overlay(figure, part) {
  for (const [key, value] of Object.entries(part ?? {})) {
    const isList = Array.isArray(value);
    if (isList ? typeof value[0] === "object" && value[0] && !Array.isArray(value[0]) : value && typeof value === "object")
      figure[key] = overlay(figure[key] ?? (isList ? [] : {}), value);
    else figure[key] = value;
  }
  return figure;
}

/* Traces of strategies that are not ticked vanish; of bars of all of them, those that are theirs. */
function withoutHidden(trace) {
  const { meta } = trace;
  if (Array.isArray(meta))
    for (const key of ["x", "y"]) trace[key] = trace[key].filter((_, k) => isShown(meta[k]));
  else if (meta !== undefined && !isShown(meta)) trace.visible = false;
  return trace;
}

/* -- drawing -------------------------------------------------------------------------------------- */

function themed(value) {
  if (typeof value === "string") return value[0] === "#" ? (DATA.dark[value.slice(0, 7)] ?? value.slice(0, 7)) + value.slice(7) : value;
  if (Array.isArray(value)) return value.map(themed);
  return value && typeof value === "object" ? Object.fromEntries(Object.entries(value).map(([k, v]) => [k, themed(v)])) : value;
}

function redraw(name) {
  const { data, layout, note, readout = [] } = name === "heat" ? tiles() : figureOf(name);
  const chart = byId(`${name}-chart`), isDark = darkScheme.matches && !isPrinting;
  const figure = { data: data.map(withoutHidden), layout: { ...layout, dragmode: isTouch ? false : "zoom" } };
  if (isPrinting) figure.layout.width = 660;
  if (layout.height) chart.style.height = `${layout.height}px`;
  byId(`${name}-note`).textContent = note;
  byId(`${name}-readout`).replaceChildren(...readout.filter(([play]) => play === null || isShown(play)).map(([play, text]) => {
    const label = byId("plays").querySelectorAll("label")[play], item = document.createElement("li");
    item.append(...(label ? [label.querySelector("svg").cloneNode(true), `${label.textContent.trim()}: `] : []), text);
    return item;
  }));
  Plotly.react(chart, isDark ? themed(figure.data) : figure.data, isDark ? themed(figure.layout) : figure.layout, CONFIG);
}

const redrawAll = () => all(".chart").forEach((chart) => redraw(chart.id.slice(0, -6)));

/* A tile per pair of values of two axes. */
function tiles() {
  const { axes, measures, points, depth, layout, axis } = DATA.heat;
  const [metric, statistic, play, across, down] = ["metric", "statistic", "play", "across", "down"].map((id) => Number(byId(`heat-${id}`).value));
  const measure = measures[metric], column = measure.start + (measure.statistics > 1 ? statistic : 0), chosen = condition();
  byId("heat-statistic").disabled = measure.statistics === 1;
  const place = axes.map((a, k) => (k === across || k === down ? 0 : a.plays ? play : a.condition === null ? -1 : Number(chosen[a.condition])));
  const isTooDeep = place.filter((level) => level >= 0).length > depth;
  const isHidden = (axis, level) => axis.plays && play >= 0 && level !== play;
  const key = (i, j) => (isHidden(axes[across], j) || isHidden(axes[down], i) ? "nothing"
    : place.map((level, k) => (k === across ? j : k === down ? i : isTooDeep ? -1 : level)).join());
  const rows = axes[down].levels.map((_, i) => axes[across].levels.map((_, j) => points[key(i, j)]?.[column]));
  const finite = rows.flat().filter((v) => typeof v === "number"), low = Math.min(...finite), high = Math.max(...finite);
  const isLog = measure.log && low > 0 && high > 10 * low, size = Math.max(Math.abs(low), Math.abs(high));
  const digits = high - low > 0 && high - low < 0.1 * size ? Math.min(3 + Math.floor(Math.log10(size / (high - low))), 7) : 3;
  const words = rows.map((row) => row.map((v) => (v === undefined ? "" : v === null ? measure.absent : String(Number(v.toPrecision(digits))))));
  const fits = axes[across].levels.length <= (isNarrow() ? 6 : 12);
  const ticks = ({ name, levels }) => ({ ...axis, title: { text: plain(name) }, tickvals: levels.map((_, k) => k),
    ticktext: levels.map((level) => plain(level).replace(/(.{8,20}?) /g, "$1<br>")) });
  const absent = rows.flatMap((row, i) => row.map((v, j) => [v, j, i])).filter(([v]) => v === null);
  return {
    data: [{ type: "heatmap", colorscale: "Cividis", xgap: 2, ygap: 2, hoverinfo: "text", hovertext: words, text: words,
      z: rows.map((row) => row.map((v) => (typeof v !== "number" ? null : isLog ? Math.log10(v) : v))),
      texttemplate: fits ? "%{text}" : "", showscale: !isNarrow() && !isLog, colorbar: { thickness: 12, outlinewidth: 0 } }],
    layout: { ...layout, height: 150 + Math.max(44 * rows.length, 120), xaxis: ticks(axes[across]),
      yaxis: { ...ticks(axes[down]), autorange: axes[down].levels.every((text) => !isNaN(parseFloat(text))) ? true : "reversed" },
      annotations: fits ? absent.map(([, x, y]) => ({ x, y, text: measure.absent, showarrow: false })) : [] },
    note: `${measure.label}; ${isTooDeep ? "all conditions and strategies" : "the conditions and the strategy chosen"}. Of several cells a tile is their ${
      measure.statistics === 1 ? "share" : statistic === 3 ? "mean" : "median"}.${isLog ? " Colours are logarithmic." : ""}`,
  };
}

const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

/* The two axes differ: choosing one that the other has moves the other on. */
function keepApart(changed) {
  const other = byId(changed.id === "heat-across" ? "heat-down" : "heat-across");
  if (changed.value === other.value) other.value = [...other.options].find((o) => o.value !== changed.value).value;
}

/* -- tables --------------------------------------------------------------------------------------- */

/* A click on a head sorts: numbers by value, words by letters after them, what is missing last. */
function makeSortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  const value = (row, column) => {
    const { dataset, textContent } = row.cells[column], number = Number((dataset.value ?? "x").replace("inf", "Infinity"));
    return dataset.value === undefined || isNaN(number) ? textContent : number;
  };
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const sign = head.ariaSort === "ascending" ? -1 : 1;
    for (const each of heads) each.ariaSort = each !== head ? "none" : sign > 0 ? "ascending" : "descending";
    const rows = [...table.tBodies[0].rows].map((row) => [value(row, column), row]);
    rows.sort(([a], [b]) => typeof a !== typeof b ? (typeof a === "number" ? -1 : 1)
      : sign * (typeof a === "number" ? (a < b ? -1 : Number(a > b)) : a.localeCompare(b, "en", { numeric: true })));
    table.tBodies[0].append(...rows.map(([, row]) => row));
  }));
}

/* -- the start ------------------------------------------------------------------------------------ */

function print(isOnPaper) {
  if (isPrinting === isOnPaper) return;
  isPrinting = isOnPaper;
  redrawAll();
}

async function start() {
  all("main table").forEach(makeSortable);
  if (byId("filter")) {
    DATA = JSON.parse(await unpacked("data"));
    const plotly = document.createElement("script");
    plotly.textContent = await unpacked("plotly"); // allowed by its hash
    document.head.append(plotly);
    byId("filter").addEventListener("submit", (event) => event.preventDefault());
    byId("filter").addEventListener("change", ({ target }) => { choose(target); redrawAll(); });
    for (const select of all("figure select"))
      select.addEventListener("change", () => { if (/^heat-(across|down)$/.test(select.id)) keepApart(select); redraw(select.closest("figure").id); });
    redrawAll();
    darkScheme.addEventListener("change", redrawAll);
    addEventListener("beforeprint", () => print(true));
    addEventListener("afterprint", () => print(false));
  }
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
}

start();
