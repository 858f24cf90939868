"use strict";
/* What all charts share: the data, colours of the theme, controls, and which cells are chosen. */

const DATA = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

/* Okabe and Ito's palette, lighter on dark ground; dashes and symbols say everything once more. */
const LIGHT = ["#0072B2", "#D55E00", "#009E73", "#B5478F", "#9A6B00", "#2E8FC0", "#444444"];
const DARK = ["#56B4E9", "#FF8A3D", "#2FD3A5", "#E9A3C9", "#F5C242", "#B3A7F5", "#DDDDDD"];
const DASHES = ["solid", "dash", "dot", "dashdot"];
const STROKES = ["", "7 4", "2 3", "7 3 2 3"];
const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "x", "star", "cross", "hexagon", "bowtie"];
const SMALLEST = 1e-12;

let isPrinting = false;
const darkScheme = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => darkScheme.matches && !isPrinting;
const isNarrow = () => !isPrinting && innerWidth < 600;
const colour = (n) => (isDark() ? DARK : LIGHT)[n % LIGHT.length];

function ink() {
  return isDark()
    ? { ground: "#14171b", text: "#e8eaed", faint: "#a5adb7", grid: "#2c323a" }
    : { ground: "#ffffff", text: "#1b1f24", faint: "#57606a", grid: "#e4e7eb" };
}

function seeThrough(hex, alpha) {
  const part = (i) => parseInt(hex.slice(i, i + 2), 16);
  return `rgba(${part(1)},${part(3)},${part(5)},${alpha})`;
}

/* Charts read some HTML in their texts; names are to stand as they are. */
function plain(text) {
  return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

function wrapped(text, width) {
  const lines = [""];
  for (const word of String(text).split(" ")) {
    if (lines.at(-1) && lines.at(-1).length + word.length >= width) lines.push("");
    lines[lines.length - 1] += (lines.at(-1) ? " " : "") + word;
  }
  return lines.map(plain).join("<br>");
}

/* -- elements ------------------------------------------------------------------------------------- */

function element(name, attributes = {}, ...inside) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...inside);
  return made;
}

/* A labelled choice; options are pairs of value and words. */
function choice(place, name, words, options, chosen, changed) {
  const select = element("select", { id: `${place}-${name}` });
  for (const [value, text] of options) {
    const option = element("option", { value });
    option.textContent = text;
    select.append(option);
  }
  select.value = chosen;
  select.addEventListener("change", changed);
  const label = element("label", {}, words);
  label.append(select);
  byId(`${place}-controls`).append(label);
  return select;
}

function swatch(n) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const line = document.createElementNS(space, "line");
  for (const [key, value] of Object.entries({ width: 34, height: 10, class: "swatch", "aria-hidden": "true" }))
    svg.setAttribute(key, value);
  const style = { x1: 0, x2: 34, y1: 5, y2: 5, stroke: colour(n), "stroke-width": 3,
    "stroke-dasharray": STROKES[n % STROKES.length] };
  for (const [key, value] of Object.entries(style)) line.setAttribute(key, value);
  svg.append(line);
  return svg;
}

function say(place, text) {
  byId(`${place}-note`).textContent = text;
}

/* -- drawing -------------------------------------------------------------------------------------- */

const isTouch = matchMedia("(pointer: coarse)").matches;
const CONFIG = {
  displaylogo: false, responsive: true, displayModeBar: isTouch || innerWidth < 600 ? false : "hover", showSendToCloud: false,
  modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"],
  toImageButtonOptions: { format: "svg" },
};

function axis(title, more = {}) {
  const { text, grid } = ink();
  return { title: { text: wrapped(title, isNarrow() ? 34 : 60), font: { size: 13 }, standoff: 8 }, gridcolor: grid,
    linecolor: grid, zeroline: false, automargin: true, tickfont: { color: text }, ...more };
}

function draw(place, traces, layout) {
  const { ground, text } = ink();
  const base = {
    paper_bgcolor: ground, plot_bgcolor: ground, showlegend: false, hovermode: "closest",
    font: { color: text, size: isNarrow() ? 11 : 12, family: "system-ui, 'Liberation Sans', sans-serif" },
    margin: { l: 56, r: 12, t: CONFIG.displayModeBar ? 28 : 12, b: 44 }, dragmode: isTouch ? false : "zoom",
    hoverlabel: { bgcolor: ground, bordercolor: text, font: { color: text }, align: "left" },
  };
  const chart = byId(`${place}-chart`);
  if (isPrinting) base.width = 660;
  return Plotly.react(chart, traces, { ...base, ...layout }, CONFIG);
}

/* Linear up to 1, then logarithmic: most happens in the first rounds, the tails are long. */
const bent = (t) => (t <= 1 ? t : 1 + Math.log10(t));

function bentTicks(last) {
  const ticks = [0];
  const steps = last <= 500 && !isNarrow() ? [1, 2, 5] : [1];
  for (let power = 1; power <= last; power *= 10)
    for (const step of steps) if (step * power <= last) ticks.push(step * power);
  return { tickvals: ticks.map(bent), ticktext: ticks.map((t) => t.toLocaleString("en")), range: [0, 1.01 * bent(last)] };
}

/* -- numbers -------------------------------------------------------------------------------------- */

/* null stands for a number that is not finite: the worst there is. */
const worst = (measure) => (measure.worseAbove ? Infinity : -Infinity);

function quantile(values, q) {
  const ordered = Float64Array.from(values).sort();
  const place = q * (ordered.length - 1);
  const below = ordered[Math.floor(place)], above = ordered[Math.ceil(place)];
  if (below === above || !isFinite(below) || place === Math.floor(place)) return below;
  return below + (place - Math.floor(place)) * (above - below);
}

const median = (values) => quantile(values, 0.5);
const sum = (values) => values.reduce((a, b) => a + b, 0);

/* As the tables show them; `measure` may be missing. */
function shown(value, measure) {
  if (value === null || !isFinite(value)) return measure ? measure.absent : "not finite";
  const scaled = value * (measure ? measure.scale : 1);
  return measure && measure.scale === 100 ? percent(scaled) : amount(scaled);
}

/* Three digits, whole numbers from a thousand on. */
function amount(value, digits = 3) {
  const size = Math.abs(value);
  if (size >= 1000 && size < 1e6 && digits === 3) return String(Math.sign(value) * Math.floor(size + 0.5));
  const rounded = Number(value.toPrecision(digits));
  if (rounded === 0 || (Math.abs(rounded) >= 1e-4 && Math.abs(rounded) < 1e6)) return String(rounded);
  return rounded.toExponential().replace("e+", "e");
}

/* Digits enough to tell nearly all from all. */
function percent(value) {
  if (!(value > 99.5 && value < 100)) return amount(value);
  const digits = Math.min(Math.max(Math.ceil(-Math.log10(100 - value)) + 1, 1), 6);
  const text = value.toFixed(digits);
  return Number(text) === 100 ? "100" : text;
}

/* -- what is chosen ------------------------------------------------------------------------------- */

const filter = { levels: {}, plays: new Set() };

function chosenCells(play = null) {
  const found = [];
  for (let c = 0; c < DATA.cells.cell.length; c++) {
    const fits = DATA.axes.every((a) => !a.isGround || filter.levels[a.name] < 0 || a.level[c] === filter.levels[a.name]);
    if (fits && DATA.cells.played[c] > 0 && (play === null || DATA.cells.play[c] === play)) found.push(c);
  }
  return found;
}

const chosenPlays = () => [...filter.plays].sort((a, b) => a - b).filter((p) => chosenCells(p).length > 0);

function conditions() {
  const words = DATA.axes.filter((a) => a.isGround && filter.levels[a.name] >= 0)
    .map((a) => `${a.name} ${a.levels[filter.levels[a.name]]}`);
  return words.length ? words.join(", ") : "all conditions";
}
