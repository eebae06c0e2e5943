// Plots that can be explored: quality against cost, and learning curves.
const SYMBOLS = {
  o: "circle", s: "square", D: "diamond", "^": "triangle-up", v: "triangle-down", P: "cross",
  X: "x", "*": "star", "<": "triangle-left", ">": "triangle-right",
};
const SECONDS = "seconds of set-up and training";
const COSTS = { seconds: SECONDS, evaluations: "energy evaluations per replicate", steps: "optimiser steps" };
const DASHES = ["dash", "dot", "dashdot", "longdash"]; // of controls
const FEW = 4; // curves: of so few all points are shown
const REACH = 1.5; // beyond the middle half of the values, in widths of it

async function plotly() {
  if (!window.Plotly) {
    const script = make("script");
    script.textContent = await unpack("plots");
    document.head.append(script);
  }
  return window.Plotly;
}

// Draw into a place once it comes into sight; what was asked for last is drawn.
const waiting = new WeakMap();
const sight = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting || !waiting.has(target)) continue;
    const draw = waiting.get(target);
    waiting.delete(target);
    sight.unobserve(target);
    draw();
  }
}, { rootMargin: "300px" });

function plot(place, traces, axes, label) {
  waiting.set(place, async () => {
    const library = await plotly();
    const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const axis = (told) => ({ gridcolor: colour("--line"), zeroline: false, automargin: true, ...told });
    const narrow = place.clientWidth < 640;
    await library.react(place, traces, {
      font: { color: colour("--text"), family: "system-ui, sans-serif", size: 12 },
      paper_bgcolor: colour("--back"), plot_bgcolor: colour("--back"),
      hoverlabel: { bgcolor: colour("--shade"), font: { color: colour("--text") } },
      margin: { l: 60, r: 10, t: 10, b: 50 }, height: narrow ? 560 : 420, hovermode: "closest",
      legend: narrow ? { orientation: "h", y: -0.3 } : {},
      xaxis: axis(axes.x), yaxis: axis(axes.y),
    }, { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d", "sendChartToCloud"] });
  });
  place.setAttribute("role", "img");
  place.setAttribute("aria-label", label);
  sight.unobserve(place);
  sight.observe(place);
}

// Scale and range of the values, which one catastrophic value does not flatten unless all are
// to be seen.
function fitted(values, higher, frame = [], whole = false) {
  const finite = values.filter(Number.isFinite);
  if (!finite.length) return { type: "linear", inside: () => true };
  const logarithmic = !higher && Math.min(...finite) > 0 && Math.max(...finite) > 5 * Math.min(...finite);
  const scaled = (x) => (logarithmic ? Math.log10(x) : x);
  const sorted = finite.map(scaled).sort((a, b) => a - b);
  const quantile = (q) => sorted[Math.round(q * (sorted.length - 1))];
  const reach = (!whole && REACH * (quantile(0.75) - quantile(0.25))) || Infinity;
  const kept = sorted.filter((x) => (higher ? x >= quantile(0.25) - reach : x <= quantile(0.75) + reach));
  let [low, high] = [kept[0], kept.at(-1)];
  const span = high - low;
  for (const x of frame.filter((y) => Number.isFinite(y) && (!logarithmic || y > 0)).map(scaled)) {
    if (x >= low - span && x <= high + span) [low, high] = [Math.min(low, x), Math.max(high, x)];
  }
  const margin = 0.08 * (high - low) || 0.05 * Math.abs(high) || 1;
  const range = [low - margin, high + margin];
  return {
    type: logarithmic ? "log" : "linear",
    range,
    inside: (x) => scaled(x) >= range[0] && scaled(x) <= range[1],
  };
}

const axisTitle = (metric) => {
  const { label, unit, higher } = content.metrics[metric];
  const better = higher === null ? "" : higher ? ", higher is better" : ", lower is better";
  return `${label}${unit ? ` [${unit}]` : ""}${better}`;
};

function marker(label) {
  const { colour, marker: sign } = content.rows[label];
  const open = label.endsWith(")") ? "-open" : "";
  return { color: colour, size: 10, symbol: (SYMBOLS[sign] ?? "circle") + open };
}

// The points that no cheaper one equals or beats, from cheap to dear.
function pareto(points, higher) {
  const sign = higher ? -1 : 1, front = [];
  for (const point of [...points].sort((a, b) => a.x - b.x || sign * (a.y - b.y))) {
    if (!front.length || sign * point.y < sign * front.at(-1).y) front.push(point);
  }
  return front;
}

function drawCost(view, labels, place, note) {
  const { rows } = budgetOf(view).datasets[view.data];
  const metric = metricOf(view, view.data), { higher } = content.metrics[metric];
  const all = labels.map((label) => ({ label, row: rows[label], cell: rows[label].cells[metric] ?? {} }));
  const points = all
    .filter(({ label, row, cell }) => !content.rows[label].control && cell.mean !== undefined && row[view.cost] !== null)
    .map(({ label, row, cell }) => ({ label, x: row[view.cost], y: cell.mean, cell, row }));
  const controls = all.filter(({ label, cell }) => content.rows[label].control && cell.mean !== undefined);
  const ends = points.flatMap(({ cell }) => [cell.low, cell.high]);
  const scale = fitted(points.map((point) => point.y), higher, [...ends, ...controls.map(({ cell }) => cell.mean)]);
  const front = pareto(points, higher), reach = points.map((point) => point.x).filter((x) => x > 0);
  const traces = points.map(({ label, x, y, cell, row }) => ({
    name: label, x: [x], y: [y], mode: "markers", marker: marker(label), type: "scatter",
    error_y: cell.low === undefined ? undefined : {
      type: "data", symmetric: false, array: [cell.high - y], arrayminus: [y - cell.low],
      color: content.rows[label].colour, thickness: 1.2,
    },
    hovertemplate: `<b>${label}</b><br>${content.metrics[metric].label} ${cell.text} ${cell.below ?? ""}` +
      `<br>${row.spent[view.cost === "seconds" ? 1 : 2]} ${COSTS[view.cost]}<extra></extra>`,
  }));
  for (const [i, { label, cell }] of controls.entries()) {
    traces.push({
      name: `control: ${label}`, x: [Math.min(...reach), Math.max(...reach)], y: [cell.mean, cell.mean],
      mode: "lines", line: { color: content.rows[label].colour, dash: DASHES[i % DASHES.length], width: 1.2 }, type: "scatter",
    });
  }
  if (front.length) {
    traces.unshift({
      name: "Pareto front", x: front.map((p) => p.x), y: front.map((p) => p.y), mode: "lines",
      line: { shape: "hv", width: 7, color: "rgba(130,140,150,.4)" }, hoverinfo: "skip", type: "scatter",
    });
  }
  const outside = points.filter((point) => !scale.inside(point.y));
  note.textContent = front.length
    ? `On the Pareto front, where nothing cheaper is as good: ${front.map((p) => p.label).join(", ")}.` +
      (outside.length ? ` Beyond the axis (double-click to see all): ${outside.map((p) => `${p.label} ${p.cell.text}`).join(", ")}.` : "")
    : "";
  plot(place, traces, {
    x: { type: "log", title: { text: COSTS[view.cost] } },
    y: { type: scale.type, range: scale.range, title: { text: axisTitle(metric) } },
  }, `Quality against cost on ${view.data}. ${note.textContent} The table above has the numbers.`);
  return traces.length > 0;
}

const median = (values) => {
  const known = values.filter(Number.isFinite).sort((a, b) => a - b), half = (known.length - 1) / 2;
  return known.length ? (known[Math.floor(half)] + known[Math.ceil(half)]) / 2 : null;
};

// Learning curves of methods on a dataset: medians with their range, or each replicate.
function drawCurves(dataset, labels, against, place, each = false) {
  const traces = [], seen = [], levels = [], metric = content.datasets[dataset].curve, few = labels.length <= FEW;
  for (const label of labels) {
    const { method, control, colour } = content.rows[label];
    const { curve, apart } = content.methods[method].places[dataset] ?? {};
    if (!curve || label !== method) continue;
    if (apart && against === "seconds" && !each) continue; // seconds of another machine do not compare
    const middle = curve.steps.map((_, i) => median(curve.values.map((values) => values[i])));
    if (curve.steps.at(-1) === 0 || !curve.steps.length) {
      if (control && middle.length) levels.push([label, middle[0], colour]);
      continue;
    }
    const kept = curve.steps.map((step, i) => i).filter((i) => curve.steps[i] > 0); // the axis is logarithmic
    const x = kept.map((i) => curve[against][i]), pick = (values) => kept.map((i) => values[i]);
    const line = { color: colour, width: 2, dash: control ? "dot" : "solid" };
    const name = control ? `control: ${label}` : label;
    if (few) seen.push(...curve.values.flatMap(pick));
    else if (!control) seen.push(middle[kept[0]], ...curve.values.map((values) => values[kept.at(-1)]), middle[kept.at(-1)]);
    if (each) {
      curve.values.forEach((values, r) => traces.push({
        name: `replicate ${r}${curve.failed.includes(r) ? ", failed" : ""}`, x, y: pick(values), mode: "lines",
        line: { ...line, width: 1, dash: curve.failed.includes(r) ? "dash" : "solid" }, opacity: 0.55, type: "scatter",
      }));
    } else {
      const bound = (choose) => kept.map((i) => {
        const known = curve.values.map((values) => values[i]).filter(Number.isFinite);
        return known.length ? choose(...known) : null;
      });
      const band = { x, mode: "lines", line: { width: 0 }, legendgroup: label, showlegend: false, hoverinfo: "skip", type: "scatter" };
      traces.push({ ...band, y: bound(Math.min) }, { ...band, y: bound(Math.max), fill: "tonexty", fillcolor: `${colour}26` });
    }
    traces.push({
      name: each ? "median" : name, x, y: pick(middle), legendgroup: label, mode: "lines+markers", line,
      marker: { ...marker(label), size: 6 }, type: "scatter", connectgaps: false,
    });
  }
  const scale = fitted(seen, content.metrics[metric].higher, levels.map(([, level]) => level), few);
  const reach = traces.flatMap((trace) => trace.x).filter((x) => x > 0);
  for (const [i, [label, level, colour]] of (reach.length ? levels : []).entries()) {
    traces.push({
      name: `control: ${label}`, x: [Math.min(...reach), Math.max(...reach)], y: [level, level], mode: "lines",
      line: { color: colour, dash: DASHES[i % DASHES.length], width: 1.2 }, type: "scatter",
    });
  }
  plot(place, traces, {
    x: { type: "log", title: { text: COSTS[against] } },
    y: { type: scale.type, range: scale.range, title: { text: axisTitle(metric) } },
  }, `Learning curves on ${dataset} against ${COSTS[against]}: ${labels.join(", ")}.`);
  return traces.length > 0;
}
