/* One market: who gives what to whom, as it stood at the end. */

const networkOf = {};
const NUM_WIDTHS = 6;
const WIDEST = 8;
const RATIO_TICKS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100];
const MOST_LABELS = 40;
const NOTHING = 1e-9;
const RED_TO_BLUE = [[0, "#b2182b"], [0.25, "#f4a582"], [0.5, "#f7f7f7"], [0.75, "#92c5de"], [1, "#2166ac"]];

function startNetwork() {
  if (!DATA.networks.length) {
    byId("network").remove();
    return;
  }
  const options = DATA.networks.map((n, k) => [String(k), n.title]);
  networkOf.market = choice("network", "market", "Market", options, "0", () => { offerPlays(); drawNetwork(); });
  networkOf.play = choice("network", "play", "Strategy", [], "0", drawNetwork);
  offerPlays();
  drawNetwork();
}

function offerPlays() {
  const before = networkOf.play.value;
  networkOf.play.replaceChildren(...DATA.networks[Number(networkOf.market.value)].runs.map((run, k) => {
    const option = element("option", { value: String(k) });
    option.textContent = `${DATA.plays[run.play] ?? run.name} (${run.verdict})`;
    return option;
  }));
  networkOf.play.value = [...networkOf.play.options].some((o) => o.value === before) ? before : "0";
}

function drawNetwork() {
  const market = DATA.networks[Number(networkOf.market.value)], run = market.runs[Number(networkOf.play.value)];
  const both = market.links.map((_, k) => run.there[k] + run.back[k]);
  const most = Math.max(...both, 1e-300);
  draw("network", [...linkTraces(market, both, most), linkPoints(market, run), agentTrace(market, run)], {
    xaxis: { visible: false, scaleanchor: "y" }, yaxis: { visible: false }, margin: { l: 8, r: 8, t: 8, b: 8 },
  });
  const hungry = run.ratio.filter((r) => !(r > NOTHING)).length;
  say("network", `${market.labels.length} agents, ${market.links.length} links; widest link: ${shown(most)} per round. ` +
    `Ratios from ${shown(Math.min(...run.ratio))} to ${shown(Math.max(...run.ratio))}.` +
    (hungry ? ` ${hungry} agent(s) with nothing.` : ""));
  tableOf("network", "Its agents", ["agent", "contribution", "received", "ratio"], market.labels.map((label, i) => [
    [label, label], ...[market.contribution[i], market.contribution[i] * run.ratio[i], run.ratio[i]].map((v) => [v, shown(v)])]));
}

/* A trace per class of width: links of one trace are equally wide. */
function linkTraces(market, both, most) {
  const traces = [];
  for (let w = 0; w < NUM_WIDTHS; w++) {
    const x = [], y = [];
    market.links.forEach(([i, j], k) => {
      if (Math.min(Math.floor((NUM_WIDTHS * both[k]) / most), NUM_WIDTHS - 1) !== w) return;
      x.push(market.x[i], market.x[j], null);
      y.push(market.y[i], market.y[j], null);
    });
    traces.push({ x, y, mode: "lines", type: "scatter", hoverinfo: "skip",
      line: { color: isDark() ? "#7a838e" : "#8c959f", width: 0.6 + ((WIDEST - 0.6) * w) / (NUM_WIDTHS - 1) } });
  }
  return traces;
}

/* Points in the middle of links, not seen, that say what flows. */
function linkPoints(market, run) {
  const name = (i) => plain(market.labels[i]);
  return {
    x: market.links.map(([i, j]) => (market.x[i] + market.x[j]) / 2),
    y: market.links.map(([i, j]) => (market.y[i] + market.y[j]) / 2),
    mode: "markers", type: "scatter", marker: { size: 9, opacity: 0 }, hoverinfo: "text",
    text: market.links.map(([i, j], k) => `${name(i)} → ${name(j)}: ${shown(run.there[k])}<br>${name(j)} → ${name(i)}: ${shown(run.back[k])}`),
  };
}

function agentTrace(market, run) {
  const tints = run.ratio.map((r) => Math.log10(Math.min(Math.max(r, 1e-2), 1e2)));
  const reach = Math.max(...tints.map(Math.abs), Math.log10(1.5));
  const ticks = RATIO_TICKS.filter((t) => Math.abs(Math.log10(t)) <= reach + 1e-9);
  const heaviest = Math.max(...market.contribution);
  const scale = Math.min(1, Math.sqrt(40 / market.labels.length)) * (isNarrow() ? 0.75 : 1);
  const isLabelled = market.labels.length <= (isNarrow() ? MOST_LABELS / 3 : MOST_LABELS);
  return {
    x: market.x, y: market.y, mode: isLabelled ? "markers+text" : "markers", type: "scatter",
    text: isLabelled ? market.labels.map((label) => plain(String(label).slice(0, 16))) : undefined,
    textposition: "top center", textfont: { size: 11, color: ink().text },
    hovertext: market.labels.map((label, i) =>
      `${plain(label)}<br>contributes ${shown(market.contribution[i])}<br>ratio ${shown(run.ratio[i])}`),
    hoverinfo: "text",
    marker: {
      color: tints, cmin: -reach, cmax: reach, colorscale: RED_TO_BLUE,
      symbol: run.ratio.map((r) => (r > NOTHING ? "circle" : "x")),
      size: market.contribution.map((w) => 7 + (9 + 14 * Math.sqrt(w / heaviest)) * scale),
      line: { color: isDark() ? "#ffffff" : "#000000", width: 1 },
      colorbar: { title: { text: "ratio", side: isNarrow() ? "top" : "right" }, thickness: 12, len: 0.8, outlinewidth: 0,
        orientation: isNarrow() ? "h" : "v", ...(isNarrow() ? { y: -0.02, yanchor: "top" } : {}),
        tickvals: ticks.map(Math.log10), ticktext: ticks.map(String) },
      showscale: true,
    },
  };
}
