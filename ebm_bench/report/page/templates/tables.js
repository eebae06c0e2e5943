// The table of a dataset, and the one over all of them.
const style = make("style");
style.textContent = await unpack("tables-style");
document.head.prepend(style); // the page's own style comes after it and wins
const bundle = URL.createObjectURL(new Blob([await unpack("tables")], { type: "text/javascript" }));
const { default: DataTable } = await import(bundle);

// What is missing comes last, whichever way a column is sorted.
function sorting(compare) {
  const missing = (x) => x === "" || x === null || x === undefined;
  return (sign) => (a, b) => (missing(a) || missing(b) ? missing(a) - missing(b) : sign * compare(a, b));
}
for (const [name, compare] of [["words", (a, b) => a.localeCompare(b)], ["numbers", (a, b) => a - b]]) {
  DataTable.type(name, "order", { asc: sorting(compare)(1), desc: sorting(compare)(-1) });
}

const overallMetric = (view) => (Object.hasOwn(budgetOf(view).overall, view.metric) ? view.metric : "");
const better = (metric) => (content.metrics[metric].higher ? "desc" : "asc");

// Rows that pass the filters, as labels.
function kept(view, labels, stateOf) {
  return labels.filter((label) =>
    (!view.family || familyOf(label) === view.family) && (!view.status || stateOf(label) === view.status));
}

// Columns of a dataset: key, text of the head, what is beneath it, and the cell of a row.
function datasetColumns(view) {
  const dataset = budgetOf(view).datasets[view.data], chosen = metricOf(view, view.data);
  const rowOf = (row) => dataset.rows[row.label], { factor } = dataset.by[chosen];
  const own = dataset.metrics.filter((metric) => metric in content.metrics && !metric.includes("."));
  const measure = (metric) => ({
    key: `metric:${metric}`, head: head(metric), title: content.metrics[metric].meaning, first: better(metric),
    ranking: metric === chosen,
    cell: (row) => {
      const { text = "–", below, note, title, mean } = rowOf(row).cells[metric] ?? {};
      return { text, below, note, title, value: mean };
    },
  });
  const plain = (key, name, unit, title, cell, first) => ({ key, head: [name, unit], title, cell, first });
  const counted = (key) => (row) => {
    const value = rowOf(row).cells[chosen]?.[key];
    return { text: value === undefined ? "–" : String(value), value, note: key === "failed" && value ? " " : "" };
  };
  const spent = (i, key) => (row) => ({ text: rowOf(row).spent[i], value: rowOf(row)[key] });
  return [
    plain("rank", "Rank", "", "by the mean rank over replicates; ≈ not significantly different from the best",
      (row) => ({ text: row.place, value: row.rank, best: row.best })),
    plain("mean-rank", "Mean rank", "", "over replicates; orders the rows",
      (row) => ({ text: row.mean_rank, value: row.rank })),
    measure(chosen),
    plain("difference", factor ? "Factor to the best" : "Difference to the best", factor ? "" : head(chosen)[1].replace(/[↑↓]/, "").trim(),
      "over paired replicates, its interval, and the p value corrected for the comparisons with the best",
      (row) => ({ text: row.difference.text, below: row.difference.below, value: row.difference.mean })),
    plain("n", "n", "", "replicates with a finite value", counted("n"), "desc"),
    plain("failed", "Failed", "", "replicates that diverged, escaped from the data or ran out of memory", counted("failed"), "desc"),
    ...own.filter((metric) => metric !== chosen).map(measure),
    ...(dataset.by[chosen].rows.some((row) => "mean" in row.trend) ? [plain("trend", "Last quarter", content.metrics[content.datasets[view.data].curve].label,
      "by how much the learning curve improved over the last quarter of the steps: a factor, or a difference",
      (row) => ({ text: row.trend.text, below: row.trend.below, value: row.trend.mean }), "desc")] : []),
    plain("steps", "Steps", "", "optimiser steps of the replicate that took most", spent(0, "steps")),
    plain("seconds", "Training", "s", "setting up and training all replicates together", spent(1, "seconds")),
    plain("evaluations", "Energy evaluations", "",
      "points at which the energy or its gradient was computed, per replicate, without noises and flows", spent(2, "evaluations")),
  ];
}

function overallColumns(view) {
  const { datasets, counted } = budgetOf(view).overall[overallMetric(view)];
  return [
    { key: "rank", head: ["Average rank", ""], title: "over the datasets that count and where it is ranked",
      cell: (row) => ({ text: row.text, value: row.average }) },
    { key: "datasets", head: ["Datasets", ""], title: "on how many that count it is ranked", first: "desc",
      cell: (row) => ({ text: `${row.datasets} of ${counted.length}`, value: row.datasets }) },
    ...datasets.map((name) => {
      const [label, unit] = head(overallMetric(view) || budgetOf(view).datasets[name].criterion);
      return { key: `data:${name}`, head: [name, `by ${label} ${unit.replace(/\[.*\]/, "").trim()}${counted.includes(name) ? "" : ", not in the average"}`], title: content.datasets[name].summary,
        cell: (row) => {
          const { text = "–", rank, best } = row.places[name] ?? {};
          return { text, value: rank, best };
        } };
    }),
  ];
}

// The worst that happened to a row on any dataset.
function overallState(view, label) {
  const found = Object.values(budgetOf(view).datasets).map(({ rows }) => rows[label]?.state).filter(Boolean);
  return ["failed", "missing", "early", "ok"].find((state) => found.includes(state)) ?? "missing";
}

function shownRows(view) {
  if (view.data) {
    const { rows, by } = budgetOf(view).datasets[view.data];
    const ranked = by[metricOf(view, view.data)].rows;
    const labels = kept(view, ranked.map((row) => row.label), (label) => rows[label].state);
    return ranked.filter((row) => labels.includes(row.label));
  }
  const { rows, alike } = budgetOf(view).overall[overallMetric(view)];
  const labels = kept(view, rows.map((row) => row.label), (label) => overallState(view, label));
  return rows.filter((row) => labels.includes(row.label)).map((row) => ({ ...row, best: alike.includes(row.label) }));
}

function methodCell(view, row) {
  const { label } = row, status = view.data ? row.status : "ok";
  const pick = make("input", {
    type: "checkbox", "aria-label": `Compare ${label}`, value: label, checked: compared(view).includes(label),
    onchange: ({ target }) => {
      const others = compared(readView()).filter((other) => other !== label);
      go({ compare: [...others, ...(target.checked ? [label] : [])].join(",") }, true);
    },
  });
  const open = make("button", { type: "button", class: "link", onclick: () => go({ open: label, show: "" }) }, label);
  return make("th", { scope: "row", "data-order": label },
    make("div", { class: "pick" }, pick, make("div", {}, open, make("small", { class: "soft" }, familyOf(label)),
      status === "ok" ? "" : make("small", { class: "alarm" }, status))));
}

function cellOf({ text, below, note, title, value, best }) {
  const alarm = note && note.trim();
  return make("td", { "data-order": value ?? "", title: title || null, class: best ? "best" : null },
    make("span", { class: note ? "alarm" : null }, text),
    below ? make("small", {}, below) : "", alarm ? make("small", { class: "alarm" }, alarm) : "");
}

function drawTable(view) {
  const columns = view.data ? datasetColumns(view) : overallColumns(view);
  const rows = shownRows(view);
  const keys = ["method", ...columns.map((column) => column.key)];
  const heads = columns.map(({ head: [name, unit], title, ranking }) =>
    make("th", { scope: "col", title, class: ranking ? "ranking" : null }, name, unit ? make("small", {}, unit) : ""));
  const table = make("table", {},
    make("caption", { class: "unseen" }, $("shown").textContent),
    make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "Method"), heads, make("th", { scope: "col" }, "Control"))),
    make("tbody", {}, rows.map((row) => {
      const { control } = content.rows[row.label];
      return make("tr", { class: control ? "control" : row.best ? "best" : null }, methodCell(view, row),
        columns.map((column) => cellOf(column.cell(row))), make("td", {}, control ? "1" : "0"));
    })));
  $("table").replaceChildren(table);
  const [key, way] = view.sort.split(/-(?=asc$|desc$)/);
  const order = keys.includes(key) && way ? [[keys.indexOf(key), way]] : [[1, "asc"]];
  const types = columns.map(({ first = "asc" }, i) => ({
    targets: i + 1, type: "numbers", orderSequence: first === "asc" ? ["asc", "desc"] : ["desc", "asc"],
  }));
  const paged = rows.length > content.paged;
  const made = new DataTable(table, {
    paging: paged, pageLength: content.paged, info: paged, searching: false, autoWidth: false, order,
    orderFixed: { pre: [[keys.length, "asc"]] }, // controls stay beneath, whatever the order
    columnDefs: [...types, { targets: 0, type: "words", orderSequence: ["asc", "desc"] }, { targets: -1, visible: false, type: "numbers" }],
    layout: { topStart: null, topEnd: null, bottomStart: paged ? ["paging", "info"] : null, bottomEnd: null },
    language: { info: "_START_ to _END_ of _TOTAL_ rows", emptyTable: "No method passes the filters, or nothing is measured yet." },
  });
  const ordered = () => made.order().find(([i]) => i < keys.length) ?? [1, "asc"];
  const tell = () => {
    const [column, direction] = ordered();
    // The library shows the direction of the fixed order instead.
    for (const sorted of table.querySelectorAll("[aria-sort]")) sorted.removeAttribute("aria-sort");
    made.column(column).header().setAttribute("aria-sort", direction === "asc" ? "ascending" : "descending");
  };
  tell();
  made.on("draw", () => {
    tell();
    drawSelection(readView()); // rows of another page come as they were when it was left
  });
  made.on("order", () => {
    const [column, direction] = ordered();
    const sort = column === 1 && direction === "asc" ? "" : `${keys[column]}-${direction}`;
    if (sort === readView().sort) return;
    history.replaceState(null, "", address({ sort }));
    drawn.table = tableKey(readView()); // the table shows it already
  });
}

// What else the first screen answers: by how much, how sure, what would change it.
function answers(view) {
  if (!view.data) return budgetOf(view).overall[overallMetric(view)].answers;
  const { by, budgets, criterion } = budgetOf(view).datasets[view.data], chosen = metricOf(view, view.data);
  return [...by[chosen].answers, ...(chosen === criterion ? budgets : [])];
}

// The first names; the others are counted.
function few(names) {
  return [...names.slice(0, 10), ...(names.length > 10 ? [`${names.length - 10} more`] : [])].join(", ");
}

// Who leads.
function lead(view) {
  const strong = (labels) => labels.flatMap((label, i) => [i ? ", " : "", make("strong", {}, label)]);
  if (view.data) {
    const { rows, by } = budgetOf(view).datasets[view.data], { best, won, doubtful, rows: ranked } = by[metricOf(view, view.data)];
    const failed = ranked.map((row) => row.label).filter((label) => ["failed", "early"].includes(rows[label].state));
    const warning = failed.length ? [" ", make("span", { class: "alarm" }, `Not every replicate ended well: ${few(failed)}.`)] : [];
    if (doubtful) warning.unshift(make("span", { class: "alarm" }, `The value of ${best[0]} did not converge in every replicate. `));
    if (!best.length) return [make("span", { class: "alarm" }, "Nothing is ranked yet."), ...warning];
    if (won) return ["Best: ", ...strong(best), ", significantly different from all others. ", ...warning];
    return ["No clear winner. Ranked first: ", ...strong(best.slice(0, 1)), best.length > 1 ? `; not significantly different from it: ${few(best.slice(1))}. ` : ". ", ...warning];
  }
  const { rows, verdict, won, counted, left_out } = budgetOf(view).overall[overallMetric(view)];
  if (!rows.length) return [make("span", { class: "alarm" }, "Nothing is ranked yet.")];
  if (!counted.length) return [make("span", { class: "alarm" }, left_out)];
  const first = rows[0];
  return [won ? "Best: " : "No clear winner. First: ", ...strong([first.label]), `, average rank ${first.text} over ${first.datasets} of ${counted.length} datasets. `, left_out ? make("span", { class: "alarm" }, `${left_out} `) : "",
    verdict ? make("small", {}, verdict) : ""];
}
