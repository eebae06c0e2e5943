// Two or more methods side by side: a dialog.
function comparedTable(view, dataset, labels) {
  const { rows, metrics, by } = budgetOf(view).datasets[dataset], chosen = metricOf(view, dataset);
  const ranked = new Map(by[chosen].rows.map((row) => [row.label, row]));
  const line = (name, text) => [name, ...labels.map((label) => (rows[label] ? text(rows[label], label) : "–"))];
  const measured = [chosen, ...metrics.filter((metric) => metric !== chosen && !metric.includes("."))].map((metric) => {
    const means = labels.map((label) => rows[label]?.cells[metric]?.mean).filter((mean) => mean !== undefined);
    const { higher } = content.metrics[metric];
    const top = higher === null || means.length < 2 ? undefined : higher ? Math.max(...means) : Math.min(...means);
    return [head(metric).join(" "), ...labels.map((label) => {
      const { text = "–", below = "", note = "", mean } = rows[label]?.cells[metric] ?? {};
      return make("td", {}, make(mean !== undefined && mean === top ? "strong" : "span", {}, text),
        below ? make("small", {}, below) : "", note ? make("small", { class: "alarm" }, note) : "");
    })];
  });
  return simpleTable(`${labels.join(", ")} on ${dataset}`, ["", ...labels], [
    line("Family", (_, label) => familyOf(label)),
    line("Rank", (_, label) => ranked.get(label)?.place ?? "–"),
    ...measured,
    line("n", (row) => row.cells[chosen]?.n ?? "–"),
    line("Failed", (row) => row.cells[chosen]?.failed ?? "–"),
    line("Steps", (row) => row.spent[0]),
    line("Training [s]", (row) => row.spent[1]),
    line("Energy evaluations", (row) => row.spent[2]),
    line("Status", (row) => row.status),
  ]);
}

function pairTable(view, dataset, labels) {
  const chosen = metricOf(view, dataset);
  const { factor, pairs: all } = budgetOf(view).datasets[dataset].by[chosen];
  const pairs = all.filter(([one, other]) => labels.includes(one) && labels.includes(other));
  if (!pairs.length) return make("p", { class: "soft" }, `Controls, by-products, and what was not measured, are in no pair. Of more than ${content.paired} models the page compares the best of a dataset; the others are in its table of pairs.`);
  return simpleTable(`Paired differences on ${dataset}`,
    ["Methods", `${factor ? "Factor" : "Difference"}, ${head(chosen).join(" ")}`, "n", "p", "p, corrected", "Verdict"],
    pairs.map(([one, other, difference, n, p, corrected, better]) =>
      [`${one} ${factor ? "to" : "less"} ${other}`, difference, n, p, corrected, better ? `${one} is better` : "not significantly different"]));
}

function settingsTable(dataset, labels) {
  const places = labels.map((label) => content.methods[content.rows[label].method].places[dataset]?.settings ?? []);
  const names = [...new Set(places.flat().map(([name]) => name))];
  return simpleTable(`Settings on ${dataset}`, ["Setting", ...labels], names.map((name) => [
    name, ...places.map((settings) => settings.find(([key]) => key === name)?.[1] ?? "–")]));
}

async function drawComparison(view) {
  const labels = compared(view), names = Object.keys(content.datasets);
  const dataset = view.on || view.data || names[0];
  const place = plotPlace("comparison-plot");
  const { rows, counted } = budgetOf(view).overall[overallMetric(view)];
  const averages = rows.filter(({ label }) => labels.includes(label))
    .map(({ label, text, datasets }) => `${label} ${text} (${datasets} of ${counted.length} datasets)`);
  fill("comparison",
    dialogHead("comparison", `Compare ${labels.join(", ")}`, datasetChoice(names, dataset)),
    make("p", {}, `${dataset}, ${content.budgets[view.at].toLowerCase()}. Average rank over the datasets that count: ${averages.join(", ") || "none"}.`),
    comparedTable(view, dataset, labels),
    make("p", { class: "soft" }, "Bold: the better mean, whether or not the difference is significant; see the differences below."),
    make("h3", {}, "Paired differences"),
    make("p", { class: "soft" }, "Replicate by replicate, on the same data: mean, interval, p of the paired t test, and p corrected for all pairs of the dataset's table."),
    pairTable(view, dataset, labels),
    make("h3", {}, "Learned beside the truth, at the end of training"),
    await pictures(dataset, labels),
    make("h3", {}, "Learning curves"),
    place,
    make("h3", {}, "Settings"),
    settingsTable(dataset, labels));
  if (!drawCurves(dataset, labels, view.against, place)) place.replaceWith(make("p", { class: "soft" }, "There is none."));
}
