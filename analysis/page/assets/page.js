"use strict";
// Figures become interactive as they come near the window; until then, and without this script, the drawing stands.
const touch = matchMedia("(pointer: coarse)").matches;
const settings = { displayModeBar: false, responsive: true, doubleClick: "reset", showTips: false };

// Plotly and the data of all figures lie in the page compressed.
async function unpack(id) {
  const packed = Uint8Array.from(atob(document.getElementById(id).textContent), (one) => one.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

async function load() {
  const script = document.createElement("script");
  script.textContent = await unpack("plotly");
  document.head.append(script);
  return JSON.parse(await unpack("panels"));
}

let loaded;
async function revive(figure) {
  loaded ??= load();
  const panels = (await loaded)[figure.id];
  const boxes = [...figure.querySelectorAll(".panel")];
  figure.querySelector(".live").hidden = false;
  figure.querySelector(".drawn").hidden = true;
  await Promise.all(panels.map(({ data, layout }, number) => {
    layout.dragmode = touch ? false : "zoom";
    return Plotly.newPlot(boxes[number], data, layout, settings);
  }));
  for (const button of figure.querySelectorAll("button[aria-pressed]")) {
    button.onclick = () => {
      const shown = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", shown);
      for (const box of boxes) {
        const own = box.data.flatMap((trace, index) => (trace.name === button.dataset.line ? [index] : []));
        if (own.length) Plotly.restyle(box, { visible: shown }, own);
      }
    };
  }
  const reset = figure.querySelector(".reset");
  const starts = panels.map(({ layout }) => ({
    "xaxis.range": [...layout.xaxis.range], "yaxis.range": [...layout.yaxis.range],
  }));
  boxes.forEach((box, number) => {
    box.on("plotly_relayout", () => {
      reset.hidden = boxes.every((other, at) => ["xaxis", "yaxis"].every((side) =>
        String(other.layout[side].range) === String(starts[at][`${side}.range`])));
    });
    box.dataset.ready = "";
  });
  reset.onclick = () => boxes.forEach((box, number) => Plotly.relayout(box, structuredClone(starts[number])));
}

const near = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    near.unobserve(target);
    revive(target);
  }
}, { rootMargin: "600px" });
if ("DecompressionStream" in window) {
  document.querySelectorAll("figure.interactive").forEach((figure) => near.observe(figure));
}

// A click on a heading sorts its table, a second one the other way round; missing values stay last.
function sort(table, column, ascending) {
  const key = (row) => row.cells[column].dataset.sort ?? row.cells[column].textContent.trim();
  const rows = [...table.tBodies[0].rows].map((row) => ({ row, key: key(row) }));
  const numeric = rows.every(({ key }) => key === "" || !isNaN(key));
  rows.sort((a, b) => {
    if (a.key === "" || b.key === "") return (a.key === "") - (b.key === "");
    const order = numeric ? a.key - b.key : a.key.localeCompare(b.key, undefined, { numeric: true });
    return ascending ? order : -order;
  });
  for (const { row } of rows) {
    row.classList.remove("first");
    table.tBodies[0].append(row);
  }
}
for (const table of document.querySelectorAll("table.sorts")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    if (!head.textContent.trim()) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.onclick = () => {
      const ascending = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      sort(table, column, ascending);
    };
  });
}
