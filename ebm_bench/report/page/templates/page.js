// Put the page together, and keep it in step with its address.
const tools = $("tools");
const drawn = {}; // what each part shows, so that nothing is drawn twice

function changed(part, key) {
  const before = drawn[part];
  drawn[part] = key;
  return before !== key;
}

// The links stay the same elements, or the keyboard would lose its place.
const links = ["", ...Object.keys(content.datasets)].map((name) => [name, make("a", {}, name || "Overall")]);
$("datasets").append(...links.map(([, link]) => link));

const tableKey = (view) => JSON.stringify([view.data, view.at, view.metric, view.family, view.status, view.sort]);

function drawNavigation(view) {
  const bar = $("datasets");
  for (const [name, link] of links) {
    link.href = address({ data: name, sort: "", on: "", open: "", show: "" });
    link.ariaCurrent = name === view.data ? "page" : null;
    const below = link.offsetTop + link.offsetHeight - bar.clientHeight;
    if (link.ariaCurrent && (bar.scrollTop < below || bar.scrollTop > link.offsetTop)) bar.scrollTop = below;
  }
}

function drawTools(view) {
  const choices = view.data ? Object.keys(budgetOf(view).datasets[view.data].by) : Object.keys(budgetOf(view).overall);
  const own = view.data ? budgetOf(view).datasets[view.data].criterion : "";
  const chosen = view.data ? metricOf(view, view.data) : overallMetric(view);
  const text = (metric) => metric === "" ? "each dataset's criterion" : head(metric).join(" ") + (metric === own ? " (criterion)" : "");
  tools.elements.metric.replaceChildren(...choices.map((metric) => option(metric, text(metric), chosen)));
  for (const name of ["at", "family", "status", "cost", "against"]) tools.elements[name].value = view[name];
  const told = content.metrics[chosen];
  $("meaning").textContent = told
    ? `${told.label} ${told.arrow}: ${told.meaning} ${told.higher ? "Higher" : "Lower"} is better.`
    : "Each dataset ranks by its own criterion, named under its head; lower ranks are better.";
}

function drawHeading(view) {
  const limit = view.data && budgetOf(view).datasets[view.data].limit;
  const by = view.data ? metricOf(view, view.data) : overallMetric(view);
  const titles = [view.data || "Overall", by && `by ${content.metrics[by].label}`, content.budgets[view.at].toLowerCase()];
  $("shown").textContent = titles.filter(Boolean).join(", ");
  const told = view.data && content.datasets[view.data];
  $("about").textContent = view.data
    ? `${told.summary} ${limit ? `Shown ${limit}. ` : ""}${told.about} The mean rank over replicates decides, not the mean value.`
    : "Average of the ranks on the datasets that count: 1 would be first on each.";
  if (view.at !== "end") $("about").append(" Flows beside an energy have no learning curve, and stand in no table of equal budgets.");
  $("lead").replaceChildren(...lead(view));
  $("answers").replaceChildren(...answers(view).map(([question, answer]) => make("div", {}, make("dt", {}, question), make("dd", {}, answer))));
  $("marks").textContent = view.data
    ? "Small: 95 % interval over replicates, of the geometric mean where values are positive. ≈ and shade: not significantly different from the best. Gray: controls. Controls and by-products (in brackets) are not ranked."
    : "Shaded: not significantly different from the best over all datasets (Nemenyi), or on that dataset. Controls are not ranked.";
}

async function drawPlots(view) {
  $("cost-section").hidden = $("curves-section").hidden = !view.data;
  if (!view.data) return;
  const labels = shownRows(view).map((row) => row.label);
  const key = JSON.stringify([view.data, view.at, view.metric, labels, drawn.colours]);
  if (changed("cost", key + view.cost)) {
    const fresh = plotPlace("cost-plot"), note = make("p", { id: "front", class: "soft" });
    $("cost-plot").replaceWith(fresh);
    $("front")?.remove();
    fresh.after(note);
    if (!drawCost(view, labels, fresh, note)) fresh.replaceChildren("Nothing is measured yet.");
  }
  if (changed("curves", key + view.against)) {
    const fresh = plotPlace("curves-plot");
    $("curves-plot").replaceWith(fresh);
    if (!drawCurves(view.data, labels, view.against, fresh)) fresh.replaceChildren("There is no learning curve yet.");
  }
}

async function drawFigures(view) {
  if (!changed("figures", view.data)) return;
  const told = content.datasets[view.data], stored = await unpackJson("figures");
  const wanted = view.data ? told.figures.map((name, i) => [name, told.kinds[i]]) : [["critical-difference", "critical-difference"]];
  const found = await Promise.all(wanted.filter(([name]) => view.data || name in stored)
    .map(([name, kind]) => name in stored ? figure(name, kind) : beside(view.data, name, kind)));
  if (readView().data !== view.data) return;
  $("figures").replaceChildren(...found, found.length ? "" : "There is no figure over all datasets: it needs two datasets and three methods on both.");
}

function drawSelection(view) {
  const labels = compared(view);
  $("selection").hidden = !labels.length;
  $("selected").textContent = `${labels.length} chosen: ${labels.join(", ")}`;
  $("compare").disabled = labels.length < 2;
  $("compare").textContent = labels.length < 2 ? "Tick another to compare" : "Compare";
  for (const box of $("table").querySelectorAll("input[type=checkbox]")) box.checked = labels.includes(box.value);
}

async function drawDialog(id, wanted, key, draw) {
  const dialog = $(id);
  if (!wanted) {
    drawn[id] = undefined;
    if (dialog.open) dialog.close();
    return;
  }
  if (changed(id, key)) await draw();
  if (!dialog.open) {
    dialog.showModal();
    dialog.scrollTop = 0;
    dialog.querySelector("h2").focus();
  }
}

async function render() {
  const view = readView();
  document.title = [$("shown").textContent && (view.open || view.data), document.querySelector("h1").textContent].filter(Boolean).join(": ");
  drawNavigation(view);
  drawTools(view);
  if (changed("table", tableKey(view))) {
    drawHeading(view);
    drawTable(view);
    await tableDownloads(view);
  }
  drawSelection(view);
  const scheme = drawn.colours;
  await drawDialog("method", view.open && view.show !== "compare", `${view.open} ${view.on} ${view.data} ${scheme}`, () => drawMethod(view));
  await drawDialog("comparison", view.show === "compare" && compared(view).length > 1,
    JSON.stringify([view, scheme]), () => drawComparison(view));
  await drawPlots(view);
  await drawFigures(view);
}

tools.addEventListener("submit", (event) => event.preventDefault());
tools.addEventListener("change", ({ target }) => go({ [target.name]: target.value }));
for (const name of ["cost", "against"]) {
  tools.elements[name].addEventListener("change", ({ target }) => go({ [name]: target.value }, true));
}
$("compare").addEventListener("click", () => go({ show: "compare", open: "" }));
$("clear").addEventListener("click", () => go({ compare: "" }, true));
for (const id of ["method", "comparison"]) {
  $(id).addEventListener("close", () => {
    drawn[id] = undefined;
    const { open, show } = readView();
    if (open || show) go({ open: "", show: "", on: "" });
  });
  $(id).addEventListener("click", ({ target }) => target === $(id) && $(id).close()); // beside it
}
addEventListener("popstate", render);
const dark = matchMedia("(prefers-color-scheme: dark)");
drawn.colours = dark.matches;
dark.addEventListener("change", () => {
  drawn.colours = dark.matches;
  render();
});
await render();
document.documentElement.dataset.ready = "yes";
