// What all parts of the page share: unpacking what it holds, making elements, and the view,
// which the address keeps.
const unpacked = new Map();

function gunzip(packed) {
  const bytes = Uint8Array.from(atob(packed), (sign) => sign.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip")));
}

function unpack(name) {
  if (!unpacked.has(name)) {
    unpacked.set(name, gunzip(document.getElementById(`${name}-block`).textContent).text());
  }
  return unpacked.get(name);
}

const unpackJson = async (name) => JSON.parse(await unpack(name));
const $ = (id) => document.getElementById(id);

// Make an element; attributes that are null or false are left out, and `on…` are listeners.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== ""));
  return element;
}

function option(value, text, chosen) {
  return make("option", { value, selected: value === chosen }, text);
}

// Text in which ``formulas`` and `code` are marked as in docstrings.
function marked(text) {
  return text.split(/(``.+?``|`.+?`)/).map((part) =>
    part.startsWith("``") ? make("span", { class: "formula" }, part.slice(2, -2))
    : part.startsWith("`") ? make("code", {}, part.slice(1, -1)) : part);
}

function announce(text) {
  $("announce").textContent = text;
}

const content = await unpackJson("content");

// The view: dataset (none for the overall table), budget, metric, filters, order, compared
// methods, the open dialog with its dataset, and the axes of plots.
const START = {
  data: "", at: "end", metric: "", family: "", status: "", sort: "", compare: "", show: "",
  open: "", on: "", cost: "seconds", against: "steps",
};

// Read the address and leave out what is not there; `in` would find "constructor" everywhere.
function readView() {
  const told = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  const view = { ...START };
  for (const name of Object.keys(START)) if (name in told) view[name] = told[name];
  if (!Object.hasOwn(content.datasets, view.data)) view.data = "";
  if (!Object.hasOwn(content.datasets, view.on)) view.on = "";
  if (!Object.hasOwn(content.budgets, view.at)) view.at = START.at;
  if (!Object.hasOwn(content.rows, view.open)) view.open = "";
  if (!["seconds", "evaluations"].includes(view.cost)) view.cost = START.cost;
  if (!["seconds", "steps"].includes(view.against)) view.against = START.against;
  view.compare = compared(view).join(",");
  return view;
}

const compared = (view) => view.compare.split(",").filter((label) => Object.hasOwn(content.rows, label));

function address(changes) {
  const wanted = { ...readView(), ...changes };
  const told = Object.entries(wanted).filter(([name, value]) => value !== START[name]);
  return `#${new URLSearchParams(told)}`;
}

// Change the view; small changes leave no step in the browser's history.
function go(changes, small = false) {
  history[small ? "replaceState" : "pushState"](null, "", address(changes));
  return render();
}

// What is shown of the budget: rows and rankings of a dataset, and the metric that ranks.
const budgetOf = (view) => content.views[view.at];

function metricOf(view, dataset) {
  const found = budgetOf(view).datasets[dataset];
  return Object.hasOwn(found.by, view.metric) ? view.metric : found.criterion;
}

const head = (metric) => {
  const { label, unit, arrow } = content.metrics[metric];
  return [label, [unit && `[${unit}]`, arrow].filter(Boolean).join(" ")];
};
const familyOf = (label) => content.methods[content.rows[label].method].family;
