/* A number per combination of two axes. */

const heatOf = {};
const PLAY_AXIS = "play";

/* The axes that tiles may lie along: those of the study, and the strategies as a whole. */
function heatAxes() {
  const axes = DATA.axes.map((a, k) => ({ key: String(k), name: a.name, levels: a.levels, level: a.level }))
    .filter((a) => a.levels.length > 1);
  if (DATA.plays.length > 1) axes.push({ key: PLAY_AXIS, name: "strategy played", levels: DATA.plays, level: DATA.cells.play });
  return axes;
}

function startHeat() {
  const axes = heatAxes();
  if (axes.length < 2) {
    say("heat", "The study has fewer than two axes.");
    byId("heat-chart").remove();
    return;
  }
  const options = axes.map((a) => [a.key, a.name]);
  const names = [...Object.keys(DATA.statistics), ...DATA.verdicts.map((v) => `verdict:${v}`)];
  const words = (name) => name.startsWith("verdict:") ? `% of markets ${name.slice(8)}` : DATA.measures[name].label;
  const first = names.find((n) => n === "share_of_equilibrium") ?? names[0];
  heatOf.metric = choice("heat", "metric", "Measure", names.map((n) => [n, words(n)]), first, drawHeat);
  heatOf.statistic = choice("heat", "statistic", "Statistic", [["median", "median market"], ["mean", "mean market"],
    ["decile1", "lowest tenth"], ["decile9", "highest tenth"]], "median", drawHeat);
  heatOf.play = choice("heat", "play", "Strategy", [["-1", "all of them"], ...DATA.plays.map((p, k) => [String(k), p])],
    "-1", drawHeat);
  const ground = DATA.axes.map((a, k) => [a, String(k)]).filter(([a]) => a.isGround && a.levels.length > 1);
  const across = ground.length ? ground[0][1] : axes[0].key;
  const down = DATA.plays.length > 1 && across !== PLAY_AXIS ? PLAY_AXIS : axes.find((a) => a.key !== across).key;
  heatOf.across = choice("heat", "across", "Across", options, across, () => keepApart(heatOf.across, heatOf.down));
  heatOf.down = choice("heat", "down", "Down", options, down, () => keepApart(heatOf.down, heatOf.across));
  drawHeat();
}

/* The two axes differ: choosing one that the other has moves the other on. */
function keepApart(changed, other) {
  if (changed.value === other.value) {
    const free = [...other.options].map((o) => o.value).filter((v) => v !== changed.value);
    other.value = free[0];
  }
  drawHeat();
}

function tileValue(cells, metric, statistic) {
  if (metric.startsWith("verdict:")) {
    const k = DATA.verdicts.indexOf(metric.slice(8));
    const all = sum(cells.map((c) => sum(DATA.cells.verdicts.map((row) => row[c]))));
    return (100 * sum(cells.map((c) => DATA.cells.verdicts[k][c]))) / all;
  }
  const measure = DATA.measures[metric];
  const values = cells.map((c) => DATA.statistics[metric][statistic][c] ?? worst(measure));
  return statistic === "mean" ? sum(values) / values.length : median(values);
}

/* Digits enough to tell the least from the most. */
function digitsFor(values) {
  const high = Math.max(...values.map(Math.abs)), spread = Math.max(...values) - Math.min(...values);
  return spread > 0 && spread < 0.1 * high ? Math.min(3 + Math.floor(Math.log10(high / spread)), 7) : 3;
}

function drawHeat() {
  const axes = heatAxes();
  const across = axes.find((a) => a.key === heatOf.across.value), down = axes.find((a) => a.key === heatOf.down.value);
  const metric = heatOf.metric.value, play = Number(heatOf.play.value);
  const isShare = metric.startsWith("verdict:");
  heatOf.statistic.disabled = isShare;
  const measure = isShare ? { scale: 1, absent: "not finite", label: `% of markets ${metric.slice(8)}`, log: false }
    : DATA.measures[metric];
  const cells = chosenCells(play < 0 ? null : play);
  let most = 0;
  const tiles = down.levels.map((_, i) => across.levels.map((_, j) => {
    const those = cells.filter((c) => down.level[c] === i && across.level[c] === j);
    most = Math.max(most, those.length);
    return those.length ? tileValue(those, metric, heatOf.statistic.value) : null;
  }));
  const finite = tiles.flat().filter((v) => v !== null && isFinite(v));
  const digits = digitsFor(finite.map((v) => v * measure.scale));
  const words = tiles.map((row) => row.map((v) => v === null ? "" : !isFinite(v) ? measure.absent
    : amount(v * measure.scale, digits)));
  const isLog = measure.log && finite.length > 0 && Math.min(...finite) > 0 && Math.max(...finite) > 10 * Math.min(...finite);
  const tint = (v) => v === null || !isFinite(v) ? null : isLog ? Math.log10(Math.max(v, SMALLEST)) : v * measure.scale;
  const fits = across.levels.length <= (isNarrow() ? 6 : 12) && down.levels.length <= 20;
  const label = (text) => wrapped(text, isNarrow() ? 12 : 18);
  const bar = isLog ? powers(finite) : {};
  const height = 150 + Math.max(44 * down.levels.length, 120);
  byId("heat-chart").style.height = `${height}px`;
  draw("heat", [{
    type: "heatmap", z: tiles.map((row) => row.map(tint)), x: across.levels.map((_, j) => j), y: down.levels.map((_, i) => i),
    colorscale: "Cividis", xgap: 2, ygap: 2, text: words, texttemplate: fits ? "%{text}" : undefined,
    hovertext: words.map((row, i) => row.map((w, j) =>
      `${plain(across.name)} ${plain(across.levels[j])}<br>${plain(down.name)} ${plain(down.levels[i])}<br>${w}`)),
    hoverinfo: "text", colorbar: { thickness: 12, outlinewidth: 0, ...bar }, showscale: !isNarrow(),
  }], {
    height, margin: { l: 56, r: 8, t: CONFIG.displayModeBar ? 28 : 12, b: 56 },
    xaxis: axis(across.name, { tickvals: across.levels.map((_, j) => j), ticktext: across.levels.map(label), showgrid: false }),
    yaxis: axis(down.name, { tickvals: down.levels.map((_, i) => i), ticktext: down.levels.map(label), showgrid: false,
      autorange: down.levels.every((text) => !isNaN(parseFloat(text))) ? true : "reversed" }),
    annotations: fits ? absentLabels(tiles, words) : [],
  });
  const over = most > 1 ? ` A tile is the ${heatOf.statistic.value === "mean" && !isShare ? "mean" : isShare ? "share" : "median"} over up to ${most} cells.` : "";
  say("heat", `${measure.label}${isShare ? "" : `, ${heatOf.statistic.selectedOptions[0].textContent}`}; ${
    play < 0 ? "all strategies" : DATA.plays[play]}; ${conditions()}.${over}`);
}

/* Tiles without a colour have no text of their own. */
function absentLabels(tiles, words) {
  return tiles.flatMap((row, i) => row.map((v, j) => (v !== null && !isFinite(v)
    ? { x: j, y: i, text: words[i][j], showarrow: false, font: { color: ink().text } } : null))).filter((a) => a);
}

function powers(values) {
  const low = Math.ceil(Math.log10(Math.max(Math.min(...values), SMALLEST))), high = Math.floor(Math.log10(Math.max(...values)));
  const ticks = [];
  for (let p = low; p <= high; p++) ticks.push(p);
  return { tickvals: ticks, ticktext: ticks.map((p) => `1e${p}`) };
}
