// All that is known of one method: a dialog.
function dialogHead(id, title, ...more) {
  return make("header", {}, make("h2", { id: `${id}-title`, tabindex: -1 }, title), ...more,
    make("button", { type: "button", class: "main", onclick: () => $(id).close() }, "Close"));
}

// Fill a dialog; a choice that has the focus keeps it.
function fill(id, ...children) {
  const choosing = document.activeElement?.name === "on";
  $(id).replaceChildren(...children);
  if (choosing) $(id).querySelector("[name=on]").focus();
}

// Choose the dataset that a dialog is about.
function datasetChoice(names, chosen) {
  const select = make("select", { name: "on", onchange: ({ target }) => go({ on: target.value }, true) },
    names.map((name) => option(name, name, chosen)));
  return make("label", {}, "Dataset ", select);
}

function simpleTable(label, heads, rows) {
  return make("div", { class: "scroll", role: "region", "aria-label": label, tabindex: 0 },
    make("table", {}, make("caption", { class: "unseen" }, label),
      make("thead", {}, make("tr", {}, heads.map((text) => make("th", { scope: "col" }, text)))),
      make("tbody", {}, rows.map(([first, ...cells]) =>
        make("tr", {}, make("th", { scope: "row" }, first), cells.map((cell) => cell instanceof Node ? cell : make("td", {}, String(cell))))))));
}

function definitions(pairs) {
  return make("dl", {}, pairs.flatMap(([term, text]) => [make("dt", {}, term), make("dd", {}, text)]));
}

// Pictures of models, the truth or data first.
async function pictures(dataset, labels) {
  const stored = (await unpackJson("thumbnails"))[dataset];
  const truth = Object.keys(stored).filter((label) => label === "data" || content.rows[label]?.control);
  const first = stored.data ? "data" : truth[0];
  const shown = [...new Set([first, ...labels])].filter((label) => label in stored);
  if (!shown.length) return make("p", { class: "soft" }, "There is no picture of this dataset.");
  const named = (label) => (label === first && label !== "data" ? `control: ${label}` : label);
  return make("div", { class: "pictures" }, shown.map((label) => make("figure", {},
    make("img", { src: stored[label], alt: `${dataset}: ${content.datasets[dataset].kinds[0]} of ${label}` }),
    make("figcaption", {}, named(label)))));
}

function plotPlace(id) {
  return make("div", { class: "plot", id });
}

const labelsOf = (method) => Object.keys(content.rows).filter((label) => content.rows[label].method === method);

function replicateTable(dataset, method, place) {
  const found = labelsOf(method).map((label) => [label, content.replicates[dataset][label] ?? {}]);
  const columns = found.flatMap(([label, metrics]) => Object.keys(metrics)
    .filter((metric) => metric in content.metrics).map((metric) => [label, metric]));
  const heads = ["Replicate", "Ended", ...columns.map(([label, metric]) =>
    `${label === method ? "" : `${label}: `}${head(metric).join(" ")}`)];
  const valueOf = (label, metric, r) =>
    content.replicates[dataset][label][metric].find(([replicate]) => replicate === r)?.[1] ?? "–";
  const rows = (place.outcomes ?? []).map(([replicate, status, step]) => [
    replicate, make("td", { class: status === "ok" ? null : "alarm" }, `${status} at step ${step}`),
    ...columns.map(([label, metric]) => valueOf(label, metric, replicate))]);
  return rows.length ? simpleTable(`Every replicate of ${method} on ${dataset}`, heads, rows)
    : make("p", { class: "alarm" }, "It was not run on this dataset.");
}

async function drawMethod(view) {
  const { method } = content.rows[view.open], told = content.methods[method];
  const names = Object.keys(told.places);
  const dataset = [view.on, view.data, names[0]].find((name) => names.includes(name));
  const place = told.places[dataset], end = content.views.end.datasets[dataset];
  const criterion = end.criterion, row = end.rows[method], cell = row.cells[criterion] ?? {};
  const ranked = end.by[criterion].rows.find(({ label }) => label === method);
  const source = make("pre", {}, make("code", {}, place.command));
  const button = make("button", { type: "button", onclick: ({ target }) => copy(place.command, target) }, "Copy the command");
  const [steps, seconds] = [plotPlace("method-steps"), plotPlace("method-seconds")];
  fill("method",
    dialogHead("method", method, datasetChoice(names, dataset)),
    make("p", {}, make("span", { class: "soft" }, `${told.family}, objective `), make("code", {}, told.objective)),
    make("p", {}, marked(told.summary)),
    ...told.prose.map((text) => make("p", {}, marked(text))),
    told.references.length ? make("p", { class: "soft" }, told.references.flatMap(([text, address]) =>
      address ? make("a", { href: address, rel: "noreferrer" }, text) : marked(text))) : "",
    make("p", { class: "soft" }, "Code: ", make("code", {}, told.code),
      ...told.oracles.length ? [", tested in ", make("code", {}, told.oracles.join(", "))] : []),
    make("p", {}, `On ${dataset}: `, make("strong", {}, told.control ? "control" : `rank ${ranked?.place ?? "–"}`),
      `, ${head(criterion).join(" ")} ${cell.text ?? "–"} ${cell.below ?? ""}; `,
      make("span", { class: row.state === "ok" ? null : "alarm" }, row.state === "ok" ? "all replicates ended well" : row.status), "."),
    make("h3", {}, "Learned beside the truth, at the end of training"),
    await pictures(dataset, labelsOf(method)),
    make("h3", {}, "Learning curves, every replicate"),
    steps, seconds,
    make("h3", {}, "Settings"),
    simpleTable(`Settings of ${method} on ${dataset}`, ["Setting", "Value", "Set by"], place.settings.map(([name, value, by]) =>
      [name, make("td", { class: "text" }, make("code", {}, value)), make("td", { class: "text" }, by)])),
    place.tuned ? make("p", {}, place.tuned) : "",
    place.cost ? make("p", { class: "soft" }, place.cost, ".") : "",
    make("h3", {}, "Every replicate"),
    replicateTable(dataset, method, place),
    make("h3", {}, "Run it again"),
    source, button,
    make("h3", {}, "Provenance"),
    place.provenance ? definitions(place.provenance) : make("p", { class: "alarm" }, "It was not run."));
  const drawn = drawCurves(dataset, [method], "steps", steps, true) && drawCurves(dataset, [method], "seconds", seconds, true);
  if (!drawn) {
    seconds.remove();
    steps.replaceWith(make("p", { class: "soft" }, "There is no learning curve: nothing was trained."));
  }
}
