/* Everything is drawn once, and again when a choice, the theme or the paper changes. */

const MOST_PLAYS = 6; // drawn from the start; more lines than that hide each other

function redrawAll() {
  for (const [is, redraw] of [[bandsOf.metric, drawBands], [distributionOf.welfare.metric, () => drawDistribution("welfare")],
    [distributionOf.loss.metric, () => drawDistribution("loss")], [verdictsOf.by, drawVerdicts],
    [heatOf.metric, drawHeat], [networkOf.market, drawNetwork]])
    if (is) redraw();
}

function startFilter() {
  for (const { name, levels, isGround } of DATA.axes) {
    filter.levels[name] = -1;
    if (!isGround || levels.length < 2) continue;
    const select = element("select", { "data-axis": name });
    for (const [value, text] of [["-1", "all"], ...levels.map((label, k) => [String(k), label])]) {
      const option = element("option", { value });
      option.textContent = text;
      select.append(option);
    }
    select.addEventListener("change", () => { filter.levels[name] = Number(select.value); redrawAll(); });
    const label = element("label", {}, name);
    label.append(select);
    byId("conditions").append(label);
  }
  DATA.plays.forEach((name, play) => {
    const box = element("input", { type: "checkbox", "data-play": play });
    box.checked = play < MOST_PLAYS;
    if (box.checked) filter.plays.add(play);
    box.addEventListener("change", () => {
      if (box.checked) filter.plays.add(play);
      else filter.plays.delete(play);
      redrawAll();
    });
    byId("plays").append(element("label", {}, box, swatch(play), name));
  });
  byId("filter").addEventListener("submit", (event) => event.preventDefault());
}

function redrawSwatches() {
  document.querySelectorAll("#plays label").forEach((label, play) => label.querySelector("svg").replaceWith(swatch(play)));
}

function print(isOnPaper) {
  if (isPrinting === isOnPaper) return;
  isPrinting = isOnPaper;
  redrawSwatches();
  redrawAll();
}

for (const table of document.querySelectorAll("main table")) makeSortable(table);
if (byId("filter")) {
  startFilter();
  startBands();
  startDistribution("welfare");
  startDistribution("loss");
  startVerdicts();
  startHeat();
  startNetwork();
  darkScheme.addEventListener("change", () => { redrawSwatches(); redrawAll(); });
  addEventListener("beforeprint", () => print(true));
  addEventListener("afterprint", () => print(false));
}
document.documentElement.dataset.ready = String(Math.round(performance.now()));
