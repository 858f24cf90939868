/* Convergence, distributions and verdicts. */

const metricOptions = (names) => names.map((name) => [name, DATA.measures[name].label]);
const VERDICT_LIGHT = ["#009E73", "#0072B2", "#56B4E9", "#E69F00", "#F0E442", "#D55E00", "#CC79A7", "#333333"];
const VERDICT_DARK = ["#2FD3A5", "#4D9DE0", "#79C3F0", "#F5C242", "#F0E442", "#FF7A3D", "#E79BC8", "#BBBBBB"];
const PATTERNS = ["", "\\", "/", "x", ".", "+", "-", "|"];

/* -- convergence ---------------------------------------------------------------------------------- */

const CLOCKS = [["rounds", "rounds"], ["each", "agent updates, per agent"], ["all", "agent updates, whole market"]];
const bandsOf = {};

function startBands() {
  const names = Object.keys(DATA.curves.metrics);
  if (!names.length) {
    say("bands", "No curves were recorded.");
    byId("bands-chart").remove();
    return;
  }
  const first = names.includes("share_of_equilibrium") ? "share_of_equilibrium" : names[0];
  bandsOf.metric = choice("bands", "metric", "Measure", metricOptions(names), first, drawBands);
  bandsOf.clock = choice("bands", "clock", "Clock", CLOCKS, "rounds", drawBands);
  bandsOf.width = choice("bands", "width", "Bands", [["both", "half and 90 % of markets"], ["half", "half"],
    ["most", "90 %"], ["none", "none"]], "both", drawBands);
  drawBands();
}

/* Of several cells the median over them of each quantile, at every record. */
function quantilesOf(cells, metric) {
  const measure = DATA.measures[metric];
  const rows = cells.map((c) => DATA.curves.metrics[metric][DATA.curves.cells.indexOf(c)]);
  return [0, 1, 2, 3, 4].map((k) =>
    DATA.curves.rounds.map((_, r) => median(rows.map((row) => row[k][r] ?? worst(measure)))));
}

function clockRate(cells, clock) {
  if (clock === "rounds") return 1;
  const rates = cells.map((c) => DATA.cells.rate[c] * (clock === "all" ? DATA.cells.agents[c] : 1));
  return sum(rates) / rates.length;
}

/* Where what is not finite is drawn: beyond all others. */
function edgeOf(values, measure) {
  const finite = values.filter(isFinite);
  if (!finite.length) return measure.log ? 1 : 0;
  const low = Math.min(...finite), high = Math.max(...finite);
  if (measure.log) return high * 10;
  const room = 0.15 * (high - low || Math.max(Math.abs(high), 1));
  return measure.worseAbove ? high + room : low - room;
}

function drawBands() {
  const metric = bandsOf.metric.value, clock = bandsOf.clock.value, width = bandsOf.width.value;
  const measure = DATA.measures[metric];
  const withCurves = new Set(DATA.curves.cells);
  const lines = chosenPlays().map((play) => {
    const cells = chosenCells(play).filter((c) => withCurves.has(c));
    return { play, cells, rate: clockRate(cells, clock), rows: cells.length ? quantilesOf(cells, metric) : null };
  }).filter((line) => line.rows);
  const all = lines.flatMap((line) => line.rows.flat());
  const edge = edgeOf(all, measure);
  const isEdgy = all.some((v) => !isFinite(v));
  const place = (v) => {
    const inside = isFinite(v) ? v : edge;
    return (measure.log ? Math.max(inside, SMALLEST) : inside) * measure.scale;
  };
  const traces = lines.flatMap((line) => bandTraces(line, place, width, measure, clock));
  const last = Math.max(1, ...lines.map((line) => line.rate * DATA.curves.rounds.at(-1)));
  const shapes = isEdgy ? [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: edge * measure.scale,
    y1: edge * measure.scale, line: { color: ink().faint, dash: "dot", width: 1 } }] : [];
  draw("bands", traces, {
    xaxis: axis(CLOCKS.find(([key]) => key === clock)[1], bentTicks(last)),
    yaxis: axis(measure.label, measure.log ? { type: "log", exponentformat: "power", dtick: 1, nticks: 8 } : {}),
    shapes,
  });
  const cells = sum(lines.map((line) => line.cells.length));
  say("bands", `${measure.label}; ${conditions()}; ${cells.toLocaleString("en")} cells.` +
    (cells > lines.length ? " Of several cells each line is the median over cells of that quantile." : "") +
    (isEdgy ? " Dotted line: not finite (an agent has nothing)." : "") +
    (DATA.curves.isSketch ? " Curves were kept as counts: a point on them is right to 1 %; the numbers below are exact." : ""));
  readout("bands", lines.map((line) => {
    const [middle, low, high] = ["median", "decile1", "decile9"].map((name) =>
      median(line.cells.map((c) => DATA.statistics[metric]?.[name][c] ?? worst(measure))));
    return { play: line.play, value: isFinite(middle) ? middle : null,
      text: `${shown(middle, measure)} at the end (80 % of markets from ${shown(low, measure)} to ${shown(high, measure)})` };
  }));
}

function bandTraces({ play, rate, rows }, place, width, measure, clock) {
  const time = DATA.curves.rounds.map((t) => bent(t * rate));
  const tint = colour(play);
  const traces = [];
  const band = (low, high, alpha) => {
    const edge = { x: time, mode: "lines", line: { width: 0, color: tint }, hoverinfo: "skip", type: "scatter" };
    traces.push({ ...edge, y: rows[low].map(place) },
      { ...edge, y: rows[high].map(place), fill: "tonexty", fillcolor: seeThrough(tint, alpha) });
  };
  if (width === "both" || width === "most") band(0, 4, 0.12);
  if (width === "both" || width === "half") band(1, 3, 0.22);
  traces.push({
    x: time, y: rows[2].map(place), mode: "lines+markers", type: "scatter", name: plain(DATA.plays[play]),
    line: { color: tint, width: 2.5, dash: DASHES[play % DASHES.length] },
    marker: { color: tint, size: 7, symbol: SYMBOLS[play % SYMBOLS.length], maxdisplayed: 6 },
    text: rows[2].map((v, r) => `${plain(DATA.plays[play])}<br>${(DATA.curves.rounds[r] * rate).toLocaleString("en",
      { maximumFractionDigits: 1 })} ${clock === "rounds" ? "rounds" : "updates"}: ${shown(v, measure)}`),
    hoverinfo: "text",
  });
  return traces;
}

/* -- distributions -------------------------------------------------------------------------------- */

const distributionOf = { welfare: {}, loss: {} };

function startDistribution(place) {
  const isLoss = place === "loss";
  const names = Object.keys(DATA.histograms).filter((name) => DATA.measures[name].log === isLoss);
  if (!names.length) {
    say(place, "Nothing of the kind was recorded.");
    byId(`${place}-chart`).remove();
    return;
  }
  const wanted = isLoss ? ["misallocated_share", "certified_gap"] : ["share_of_equilibrium", "log_nash_welfare"];
  const first = wanted.find((name) => names.includes(name)) ?? names[0];
  const redraw = () => drawDistribution(place);
  distributionOf[place].metric = choice(place, "metric", "Measure", metricOptions(names), first, redraw);
  distributionOf[place].form = choice(place, "form", "Form", [["below", "% of markets at or below"],
    ["bins", "histogram"]], "below", redraw);
  redraw();
}

function drawDistribution(place) {
  const { metric: { value: metric }, form: { value: form } } = distributionOf[place];
  const measure = DATA.measures[metric], { edges, counts, absent } = DATA.histograms[metric];
  const scaled = edges.map((e) => (measure.log ? 10 ** e : e) * measure.scale);
  const lines = chosenPlays().map((play) => {
    const cells = chosenCells(play);
    const bins = counts[0].map((_, b) => sum(cells.map((c) => counts[c][b])));
    const lost = sum(cells.map((c) => absent[c]));
    return { play, bins, lost, all: sum(bins) + lost };
  });
  const traces = lines.map(({ play, bins, lost, all }) => {
    let below = measure.worseAbove ? 0 : lost;
    const heights = form === "bins" ? bins : bins.map((n) => (below += n));
    const shares = heights.map((n) => (100 * n) / all);
    const start = form === "bins" ? 0 : (100 * (measure.worseAbove ? 0 : lost)) / all;
    return {
      x: scaled, y: form === "bins" ? [...shares, 0] : [start, ...shares], mode: "lines", type: "scatter",
      name: plain(DATA.plays[play]),
      line: { color: colour(play), width: 2.2, dash: DASHES[play % DASHES.length],
        shape: form === "bins" ? "hv" : "linear" },
      hovertemplate: `${plain(DATA.plays[play])}<br>%{x:.4g}: %{y:.1f} % of markets<extra></extra>`,
    };
  });
  draw(place, traces, {
    xaxis: axis(measure.label, measure.log ? { type: "log", exponentformat: "power", nticks: 6 } : { nticks: 6 }),
    yaxis: axis(form === "bins" ? "% of markets in a bin" : "% of markets at or below", { rangemode: "tozero" }),
  });
  const total = sum(lines.map((line) => line.all));
  say(place, `${conditions()}; ${total.toLocaleString("en")} runs in ${edges.length - 1} bins.` +
    (measure.log ? " What is below 1e−12 stands there." : ""));
  readout(place, lines.map(({ play, lost, all }) => ({ play, value: lost,
    text: lost ? `${lost.toLocaleString("en")} of ${all.toLocaleString("en")} markets ${measure.absent}, not on the axis`
      : `${all.toLocaleString("en")} markets, all ${measure.absent === "never" ? "got there" : "finite"}` })));
}

/* -- verdicts ------------------------------------------------------------------------------------- */

const verdictsOf = {};

/* The share in the middle of every part wide enough, on a ground of its own: patterns make text hard to read. */
function barLabels(counts) {
  return counts.flatMap((row, b) => row.map((n, k) => {
    const all = sum(row), before = sum(row.slice(0, k));
    return { x: (100 * (before + n / 2)) / all, y: b, text: `${((100 * n) / all).toFixed(0)}`, showarrow: false,
      bgcolor: ink().ground, borderpad: 2, opacity: 0.9, font: { size: 11, color: ink().text }, isWide: n / all >= 0.08 };
  })).filter(({ isWide }) => isWide).map(({ isWide, ...label }) => label);
}

function startVerdicts() {
  const options = [["play", "strategy"], ...DATA.axes.map((a, k) => [String(k), a.name])];
  verdictsOf.by = choice("verdicts", "by", "A bar for every", options, "play", drawVerdicts);
  drawVerdicts();
}

/* The bars: a name and the cells that belong to it. */
function barsOf(by) {
  if (by === "play") return chosenPlays().map((play) => [DATA.plays[play], chosenCells(play)]);
  const along = DATA.axes[Number(by)];
  const cells = chosenPlays().flatMap((play) => chosenCells(play));
  return along.levels.map((label, k) => [`${along.name} ${label}`, cells.filter((c) => along.level[c] === k)])
    .filter(([, those]) => those.length);
}

function drawVerdicts() {
  const bars = barsOf(verdictsOf.by.value);
  const counts = bars.map(([, cells]) => DATA.cells.verdicts.map((row) => sum(cells.map((c) => row[c]))));
  const names = bars.map(([name]) => wrapped(name, isNarrow() ? 18 : 26));
  const tints = isDark() ? VERDICT_DARK : VERDICT_LIGHT;
  const traces = DATA.verdicts.map((verdict, k) => {
    const shares = counts.map((row) => (100 * row[k]) / sum(row));
    return {
      type: "bar", orientation: "h", name: verdict, y: bars.map((_, b) => b), x: shares, showlegend: shares.some((s) => s > 0),
      marker: { color: tints[k], pattern: { shape: PATTERNS[k], bgcolor: tints[k], fgcolor: ink().ground, fgopacity: 0.5, size: 7, solidity: 0.2 },
        line: { color: ink().ground, width: 1 } },
      hovertext: counts.map((row, b) => `${names[b]}<br>${verdict}: ${row[k].toLocaleString("en")} of ${sum(row).toLocaleString("en")}`),
      hoverinfo: "text",
    };
  });
  const height = 146 + (isNarrow() ? 62 : 46) * Math.max(bars.length, 2);
  byId("verdicts-chart").style.height = `${height}px`;
  draw("verdicts", traces, {
    barmode: "stack", showlegend: true, bargap: 0.3, height, annotations: barLabels(counts),
    margin: { l: 56, r: 12, t: CONFIG.displayModeBar ? 64 : 24, b: 44 },
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, xanchor: "left", traceorder: "normal" },
    xaxis: axis("% of markets", { range: [0, 100], fixedrange: true }),
    yaxis: axis("", { tickvals: bars.map((_, b) => b), ticktext: names, autorange: "reversed", fixedrange: true }),
  });
  const cells = bars.flatMap(([, those]) => those);
  const stopped = sum(cells.map((c) => DATA.cells.stopped[c])), failed = sum(cells.map((c) => DATA.cells.failed[c]));
  say("verdicts", `${conditions()}; ${sum(counts.flat()).toLocaleString("en")} runs.` +
    (stopped ? ` ${stopped.toLocaleString("en")} were stopped early.` : "") +
    (failed ? ` ${failed.toLocaleString("en")} more failed and are in no bar.` : ""));
  const occurring = DATA.verdicts.map((_, k) => k).filter((k) => counts.some((row) => row[k]));
  const heads = ["bar", ...occurring.map((k) => `${DATA.verdicts[k]}, %`)];
  tableOf("verdicts", "In numbers", heads, bars.map(([name], b) => [[name, name],
    ...occurring.map((k) => { const s = (100 * counts[b][k]) / sum(counts[b]); return [s, percent(s)]; })]));
}
