// Files to take away: tables as they stand in the folder, figures as SVG, PNG and PDF.
const SCALE = 3; // pixels of a PNG for each pixel of the figure at its size in print

function save(name, content, type) {
  const link = make("a", { href: URL.createObjectURL(new Blob([content], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  announce(`${name} is saved`);
}

const TABLES = { csv: ["CSV", "text/csv"], tex: ["LaTeX", "text/x-tex"], md: ["Markdown", "text/markdown"] };

async function tableDownloads(view) {
  const metric = view.data ? metricOf(view, view.data) : overallMetric(view);
  const own = view.data ? metric === budgetOf(view).datasets[view.data].criterion : !metric;
  const name = [view.data || "overall", view.at === "end" ? "" : view.at, own ? "" : metric];
  const texts = (await unpackJson("texts"))[`${view.at}/${view.data}/${metric}`] ?? {};
  if (tableKey(readView()) !== tableKey(view)) return;
  const links = Object.entries(TABLES).map(([ending, [text, type]]) => {
    const file = `${name.filter(Boolean).join("-")}.${ending}`;
    if (ending in texts) return make("button", { type: "button", onclick: () => save(file, texts[ending], type) }, text);
    return own ? make("a", { href: `tables/${file}` }, `${text} (in the folder of the page)`) : "";
  });
  $("table-downloads").replaceChildren("Download the whole table: ", ...links.filter(Boolean));
}

// A figure for which the page has no room: its pictures one by one, and where its files are.
async function beside(dataset, name, kind) {
  const labels = Object.keys(content.views.end.datasets[dataset].rows);
  const pictured = ["densities", "samples"].includes(kind) ? await pictures(dataset, labels) : "";
  return make("figure", { id: `figure-${name}`, class: "beside" }, pictured,
    make("figcaption", {}, `${content.captions[kind]} As one figure in the folder of the page: `,
      ...["svg", "pdf", "png"].flatMap((ending) => [make("a", { href: `figures/${name}.${ending}` }, ending.toUpperCase()), " "])));
}

// A figure with its caption, and buttons that save it.
async function figure(name, kind) {
  const stored = (await unpackJson("figures"))[name];
  const svg = await gunzip(stored.svg).text();
  const image = make("img", { alt: `${name.replace(/-/g, " ")}: ${content.captions[kind]}` });
  image.src = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
  const button = (text, action) => make("button", { type: "button", "aria-label": `${name} as ${text}`, onclick: action }, text);
  return make("figure", { id: `figure-${name}` },
    make("div", { class: "scroll", role: "region", "aria-label": name, tabindex: 0 }, image),
    make("figcaption", {}, content.captions[kind]),
    make("div", { class: "row" },
      button("SVG", () => save(`${name}.svg`, svg, "image/svg+xml")),
      button("PNG", async () => save(`${name}.png`, await raster(image, "image/png"), "image/png")),
      button("PDF", async () => {
        const pdf = stored.pdf ? await gunzip(stored.pdf).arrayBuffer() : await pdfOf(image);
        save(`${name}.pdf`, pdf, "application/pdf");
      })));
}

async function raster(image, type) {
  await image.decode();
  const canvas = make("canvas", { width: SCALE * image.naturalWidth, height: SCALE * image.naturalHeight });
  const brush = canvas.getContext("2d");
  brush.fillStyle = "#fff";
  brush.fillRect(0, 0, canvas.width, canvas.height);
  brush.drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, type, 0.95));
}

// A PDF of one page that is one picture, as large as the figure in print.
async function pdfOf(image) {
  const jpeg = new Uint8Array(await (await raster(image, "image/jpeg")).arrayBuffer());
  const [width, height] = [image.naturalWidth, image.naturalHeight];
  const [w, h] = [width, height].map((pixels) => (0.75 * pixels).toFixed(2));
  const place = `q ${w} 0 0 ${h} 0 0 cm /P Do Q`;
  const objects = [
    ["<</Type/Catalog/Pages 2 0 R>>"],
    ["<</Type/Pages/Kids[3 0 R]/Count 1>>"],
    [`<</Type/Page/Parent 2 0 R/MediaBox[0 0 ${w} ${h}]/Contents 4 0 R/Resources<</XObject<</P 5 0 R>>>>>>`],
    [`<</Length ${place.length}>>stream\n`, place, "\nendstream"],
    [`<</Type/XObject/Subtype/Image/Width ${SCALE * width}/Height ${SCALE * height}` +
      `/ColorSpace/DeviceRGB/BitsPerComponent 8/Filter/DCTDecode/Length ${jpeg.length}>>stream\n`, jpeg, "\nendstream"],
  ];
  const parts = ["%PDF-1.4\n"], starts = [];
  let length = parts[0].length;
  const add = (part) => { parts.push(part); length += part.length; };
  objects.forEach((object, i) => {
    starts.push(length);
    [`${i + 1} 0 obj\n`, ...object, "\nendobj\n"].forEach(add);
  });
  const table = starts.map((start) => `${String(start).padStart(10, "0")} 00000 n \n`).join("");
  parts.push(`xref\n0 ${objects.length + 1}\n0000000000 65535 f \n${table}` +
    `trailer<</Size ${objects.length + 1}/Root 1 0 R>>\nstartxref\n${length}\n%%EOF\n`);
  return new Blob(parts);
}

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
    announce("The command is copied");
  } catch {
    getSelection().selectAllChildren(button.previousElementSibling);
    announce("The command is selected: copy it with the keyboard");
  }
}
