// The table of a network's layers: numbers, small histograms, and the verdicts in words.

import { size } from "./charts.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 75;
const HEIGHT = 20;

const cell = (text, kind = "td", name = "") => {
  const element = document.createElement(kind);
  element.textContent = text;
  element.className = name;
  return element;
};

/** A histogram from −r to r as one path, and r below it. */
function histogram(bins, what) {
  const td = document.createElement("td");
  if (!bins) {
    td.textContent = "not finite";
    return td;
  }
  if (!bins.shares.length) {
    td.textContent = "all 0";
    return td;
  }
  const svg = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  const most = Math.max(...bins.shares);
  const step = WIDTH / bins.shares.length;
  const bars = bins.shares.map((share, i) => {
    const height = (HEIGHT * share) / most;
    return `M${(i * step).toFixed(1)} ${HEIGHT}v${-height.toFixed(1)}h${(step * 0.9).toFixed(1)}v${height.toFixed(1)}z`;
  });
  path.setAttribute("d", bars.join(""));
  svg.append(path);
  svg.setAttribute("width", WIDTH);
  svg.setAttribute("height", HEIGHT);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `histogram of ${what} from −${size(bins.r)} to ${size(bins.r)}`);
  td.append(svg, cell(`r = ${size(bins.r)}`, "span", "r"));
  return td;
}

/** The table of `side`, for its part of a frame. */
export function layersTable(side, part) {
  const box = document.createElement("div");
  box.className = side;
  box.append(cell(`${side}: ${part.label}`, "h4"));
  const scroll = document.createElement("div");
  scroll.className = "scroll";
  scroll.tabIndex = 0;
  scroll.setAttribute("role", "region");
  scroll.setAttribute("aria-label", `Layers of ${side}`);
  const table = document.createElement("table");
  const head = table.createTHead().insertRow();
  for (const name of ["Layer", "Distinct", "Directions", "Step", "Outputs y", "Gradients", "Verdict"]) {
    const th = cell(name, "th");
    th.scope = "col";
    head.append(th);
  }
  const body = table.createTBody();
  part.layers.forEach((layer, i) => {
    const row = body.insertRow();
    const th = cell(`${i + 1}: ${layer.n_in}–${layer.units}`, "th");
    th.scope = "row";
    const fine = layer.words.join() === "fine";
    const verdict = cell(layer.words.join(", "), "td", fine ? "fine" : "bad");
    verdict.title = layer.reasons.join("; ");
    row.append(
      th,
      cell(`${layer.distinct} of ${layer.units}`),
      cell(size(layer.rank)),
      cell(size(layer.update)),
      histogram(layer.signal_bins, `the outputs of layer ${i + 1}`),
      histogram(layer.gradient_bins, `the gradients of layer ${i + 1}`),
      verdict,
    );
  });
  scroll.append(table);
  box.append(scroll);
  return box;
}
