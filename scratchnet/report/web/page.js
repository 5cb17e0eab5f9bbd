/* What a reader can operate on a page of scratchnet. Each live figure stands beside its numbers, JSON in an element
   whose id is the figure's with "-data"; this draws it, and asks the network for nothing. */

"use strict";

document.documentElement.classList.add("script");

/* --- what figures share -------------------------------------------------------------------------------------------- */

/** An element with attributes and children; a property that starts with "on" is a listener. */
function element(tag, attributes = {}, ...children) {
  const svg = ["svg", "rect", "line", "path", "text", "g"].includes(tag);
  const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (typeof value === "boolean") made.toggleAttribute(name, value);
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const dark = matchMedia("(prefers-color-scheme: dark)");

const DASHES = [[], [8, 4], [8, 3, 2, 3], [2, 3], [10, 3, 2, 3, 2, 3], [6, 2], [1, 2]];
/** The i-th arm's line: seven colours with a dash each; further arms have the same colours with other dashes. */
const look = (i) => ({ color: `arm-${i % 7}`, dash: DASHES[(i + Math.floor(i / 7)) % 7] });

const SUPERSCRIPT = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };
const power = (k) => "10" + [...String(k)].map((c) => SUPERSCRIPT[c]).join("");

/** A number to read: 0.412, 28,100, 3.2·10⁷. */
function said(x) {
  if (x === null || x === undefined || Number.isNaN(x)) return "–";
  const size = Math.abs(x);
  if (size === 0) return "0";
  if (size >= 1e6 || (size < 1e-3 && size > 0)) {
    const k = Math.floor(Math.log10(size));
    return `${minus((x / 10 ** k).toFixed(1))}·${power(k)}`;
  }
  if (size >= 100) return minus(Math.round(x).toLocaleString("en"));
  return minus(size >= 10 ? x.toFixed(1) : x.toFixed(size < 0.1 && size > 0 ? 4 : 3));
}
const minus = (text) => text.replace("-", "−");

/** The number of a tick on a logarithmic scale. */
function tick(x) {
  const k = Math.floor(Math.log10(x) + 1e-9);
  if (x >= 1e-3 && x < 1e6) return x.toLocaleString("en", { maximumSignificantDigits: 3 });
  const m = Math.round(x / 10 ** k);
  return m === 1 ? power(k) : `${m}·${power(k)}`;
}

/** Ticks of a logarithmic scale, at least three where there can be: powers of ten, or 1, 2, 5, or all multiples. */
function logTicks(low, high) {
  let ticks = [];
  for (const multiples of [[1], [1, 2, 5], [1, 2, 3, 4, 5, 6, 7, 8, 9]]) {
    ticks = [];
    for (let k = Math.floor(Math.log10(low)); k <= Math.ceil(Math.log10(high)); k++)
      for (const m of multiples) {
        const at = m * 10 ** k;
        if (at >= low * 0.999 && at <= high * 1.001) ticks.push(at);
      }
    if (ticks.length >= 3) break;
  }
  const every = Math.ceil(ticks.length / 8);
  return ticks.filter((_, i) => i % every === 0);
}

let made = 0;
/** Radio buttons in a row; calls `choose(value)`. */
function radios(legend, options, value, choose) {
  const name = `choice-${made++}`;
  return element(
    "fieldset",
    {},
    element("legend", {}, legend),
    ...options.map(([key, text]) =>
      element(
        "label",
        {},
        element("input", { type: "radio", name, value: key, checked: key === value, onchange: () => choose(key) }),
        text,
      ),
    ),
  );
}

/* --- loss curves --------------------------------------------------------------------------------------------------- */

function chart(figure, content) {
  const width = content.alone + content.ends.length;
  const arms = content.arms.map((arm, i) => {
    const bytes = Uint8Array.from(atob(arm.values), (c) => c.charCodeAt(0));
    return { ...arm, ...look(i), i, rows: new Float32Array(bytes.buffer) };
  });
  const row = (arm, r) => arm.rows.subarray(r * width, (r + 1) * width);
  const choices = [10, 30, 100, 300].filter((n) => n <= content.alone && n < content.steps);
  if (content.first <= content.alone && content.first < content.steps && !choices.includes(content.first))
    choices.push(content.first);
  choices.sort((a, b) => a - b);
  const state = {
    batches: choices.includes(content.first) ? String(content.first) : "all",
    seed: "mean",
    log: content.log ? "log" : "linear",
    at: null,
  };
  const smooth = () => state.batches === "all" && content.ends.length > 0;
  const batches = () =>
    smooth() ? content.ends : Array.from({ length: state.batches === "all" ? content.steps : Number(state.batches) }, (_, i) => i + 1);

  /** One row of an arm for what is shown: null where there is no number, or none that a logarithm has. */
  function values(arm, r) {
    const from = smooth() ? content.alone : 0;
    const part = row(arm, r).subarray(from, from + batches().length);
    return Array.from(part, (y) => (Number.isFinite(y) && (state.log === "linear" || y > 0) ? y : null));
  }
  const r = () => (state.seed === "mean" ? 0 : 3 + content.seeds.indexOf(Number(state.seed)));

  const plot = element("div", {
    class: "plot",
    tabindex: "0",
    role: "group",
    "aria-label": `${content.title}. The arrow keys move along the batches.`,
  });
  const live = element("p", { class: "hidden", "aria-live": "polite" });
  const where = element("p", { class: "small where" });
  const chips = arms.map((arm) => {
    const swatch = element("svg", { class: "swatch", viewBox: "0 0 28 8", "aria-hidden": "true" });
    swatch.append(
      element("line", { x1: 0, x2: 28, y1: 4, y2: 4, class: `stroke-${arm.i % 7}`, "stroke-dasharray": arm.dash.join(" ") || "none" }),
    );
    const box = element("input", {
      type: "checkbox",
      checked: arm.shown,
      onchange: (event) => {
        arm.shown = event.target.checked;
        draw();
      },
    });
    const value = element("span", { class: "value" });
    arm.box = box;
    arm.value = value;
    return element("li", {}, element("label", {}, box, swatch, element("span", {}, arm.label)), value);
  });
  const key = element("ul", { class: "key", "aria-label": "Starts" }, ...chips);
  const show = (wanted) => {
    for (const arm of arms) arm.box.checked = arm.shown = wanted(arm);
    draw();
  };

  const controls = element("div", { class: "controls" });
  if (choices.length)
    controls.append(
      radios("Batches", [...choices.map((n) => [String(n), n.toLocaleString("en")]), ["all", `all ${content.steps.toLocaleString("en")}`]], state.batches, (v) => {
        state.batches = v;
        state.at = null;
        draw();
      }),
    );
  controls.append(
    radios("Scale", [["linear", "linear"], ["log", "logarithmic"]], state.log, (v) => {
      state.log = v;
      draw();
    }),
  );
  if (content.count > 1) {
    const select = element("select", {
      onchange: () => {
        state.seed = select.value;
        draw();
      },
    });
    select.append(element("option", { value: "mean" }, `mean of ${content.count}${content.band ? " and its 95 % interval" : ""}`));
    for (const seed of content.seeds) select.append(element("option", { value: seed }, `seed ${seed}`));
    controls.append(element("label", {}, "Seeds", select));
  }
  if (arms.length > 2)
    controls.append(
      element("button", { type: "button", onclick: () => show(() => true) }, "All starts"),
      element("button", { type: "button", onclick: () => show(() => false) }, "None"),
    );
  figure.append(controls, plot, where, key, live);

  let u = null;
  function draw() {
    const x = batches();
    const series = [{}];
    const columns = [x];
    const bands = [];
    // the bands of more than four arms hide each other and the lines
    const band = state.seed === "mean" && content.band && arms.filter((arm) => arm.shown).length <= 4;
    for (const arm of arms) {
      const line = { show: arm.shown, points: { show: x.length < 2 }, spanGaps: false };
      columns.push(values(arm, r()));
      series.push({ ...line, stroke: color(arm.color), width: 2, dash: arm.dash });
      if (band) {
        const mean = columns.at(-1);
        const low = values(arm, 1).map((y, j) => (y === null && state.log === "log" && mean[j] !== null ? mean[j] / 10 : y));
        columns.push(low, values(arm, 2));
        const n = series.length;
        bands.push({ series: [n + 1, n], fill: color(arm.color) + "33" });
        series.push({ ...line, stroke: "transparent", width: 0 }, { ...line, stroke: "transparent", width: 0 });
      }
    }
    const axis = { stroke: color("soft"), font: `12px ${color("sans")}`, labelFont: `12px ${color("sans")}`, labelSize: 18, grid: { stroke: color("grid"), width: 1 }, ticks: { show: false } };
    const logarithmic = state.log === "log";
    const range = (_, low, high) => {
      if (low === null || high === null) return logarithmic ? [0.1, 10] : [0, 1];
      const blind = content.levels.map((level) => level.y).filter((y) => y < low && low < 10 * y);
      if (logarithmic) return [Math.min(low, ...blind) / 1.3, high * 1.3];
      return [Math.min(0, low), high * 1.06 || 1];
    };
    const options = {
      width: Math.max(200, plot.clientWidth),
      height: plot.clientWidth < 500 ? 280 : 380,
      series,
      bands,
      scales: { x: { time: false, range: () => [x[0], Math.max(x.at(-1), x[0] + 1)] }, y: { distr: logarithmic ? 3 : 1, range } },
      axes: [
        { ...axis, label: smooth() ? `Batch; each point is the mean of ${content.window}, up to it` : "Batch", size: 26, values: (_, at) => at.map((v) => (Number.isInteger(v) ? v.toLocaleString("en") : "")) },
        {
          ...axis,
          label: content.yLabel,
          size: (_, texts) => 14 + 7 * Math.max(1, ...(texts || []).map((text) => String(text).length)),
          ...(logarithmic ? { splits: (_, __, low, high) => logTicks(low, high), filter: (_, at) => at, values: (_, at) => at.map(tick) } : { values: (_, at) => at.map((v) => (Math.abs(v) >= 1e6 ? said(v) : v.toLocaleString("en", { maximumFractionDigits: 6 }))) }),
        },
      ],
      legend: { show: false },
      cursor: { drag: { x: false, y: false, setScale: false }, points: { size: 7, show: true } },
      hooks: { setCursor: [(self) => self === u && self.cursor.left >= 0 && read(self.cursor.idx, false)], drawAxes: [(self) => levels(self, false)], draw: [(self) => levels(self, true)] },
    };
    if (u) u.destroy();
    u = null;
    u = new uPlot(options, columns, plot);
    read(state.at, false);
    if (state.at !== null) point(state.at);
  }

  /** Put the cursor on the j-th point. */
  function point(j) {
    u.setCursor({ left: u.valToPos(batches()[j], "x"), top: u.over.clientHeight / 2 }, false);
  }

  /** The lines of the levels, which lie below the curves, or with `names` what they are called, which lies above. */
  function levels(self, names) {
    for (const { label, y } of content.levels) {
      const { min, max } = self.scales.y;
      if (!(y > min && y < max)) continue;
      const c = self.ctx;
      const at = Math.round(self.valToPos(y, "y", true)) + 0.5;
      c.save();
      c.strokeStyle = c.fillStyle = color("soft");
      c.lineWidth = devicePixelRatio;
      if (!names) {
        c.beginPath();
        c.moveTo(self.bbox.left, at);
        c.lineTo(self.bbox.left + self.bbox.width, at);
        c.stroke();
        c.restore();
        continue;
      }
      c.font = `${12 * devicePixelRatio}px ${color("sans")}`;
      c.textAlign = "right";
      c.textBaseline = "bottom";
      c.strokeStyle = color("paper");
      c.lineWidth = 4 * devicePixelRatio;
      c.lineJoin = "round";
      c.strokeText(label, self.bbox.left + self.bbox.width - 4, at - 3);
      c.fillText(label, self.bbox.left + self.bbox.width - 4, at - 3);
      c.restore();
    }
  }

  /** Say the values at the j-th point: in the key, and with `aloud` to a screen reader too. */
  function read(j, aloud) {
    const x = batches();
    if (j === undefined || (j !== null && j >= x.length)) j = null;
    state.at = j;
    const spoken = [];
    for (const arm of arms) {
      let text = "";
      if (j !== null && arm.shown) {
        const y = values(arm, r())[j];
        text = y === null ? "no number" : said(y);
        if (y !== null && state.seed === "mean" && content.band) {
          const [low, high] = [values(arm, 1)[j], values(arm, 2)[j]];
          text += ` (${said(low)} to ${said(high)})`;
        }
        spoken.push(`${arm.label} ${text}`);
      }
      arm.value.textContent = text;
    }
    const place = j === null ? "" : smooth() ? `Batches ${(x[j] - content.window + 1).toLocaleString("en")} to ${x[j].toLocaleString("en")}` : `Batch ${x[j].toLocaleString("en")}`;
    where.textContent = place || "Point at the curves, or focus them and press the arrow keys, to read values.";
    if (aloud) live.textContent = `${place}: ${spoken.join("; ") || "no arm is shown"}`;
  }

  plot.addEventListener("keydown", (event) => {
    const end = batches().length - 1;
    const at = state.at ?? -1;
    const moves = { ArrowRight: at + 1, ArrowLeft: at - 1, PageUp: at + 10, PageDown: at - 10, Home: 0, End: end };
    if (!(event.key in moves) || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const j = Math.max(0, Math.min(end, moves[event.key]));
    point(j);
    read(j, true);
  });

  let size = 0;
  new ResizeObserver(() => {
    if (plot.clientWidth && plot.clientWidth !== size) {
      size = plot.clientWidth;
      draw();
    }
  }).observe(plot);
  dark.addEventListener("change", draw);
}

/* --- a walk through training --------------------------------------------------------------------------------------- */

function steps(figure, content) {
  const state = { arm: content.chosen, look: 0 };
  const select = element("select", { onchange: () => { state.arm = Number(select.value); draw(); } });
  content.arms.forEach((arm, i) => select.append(element("option", { value: i, selected: i === state.arm }, arm.label)));
  const slider = element("input", { type: "range", min: 0, step: 1, value: 0, oninput: () => { state.look = Number(slider.value); draw(); } });
  const back = element("button", { type: "button", "aria-label": "An earlier step", onclick: () => move(-1) }, "‹");
  const on = element("button", { type: "button", "aria-label": "A later step", onclick: () => move(1) }, "›");
  const move = (by) => { slider.value = state.look + by; state.look = Number(slider.value); draw(); };
  const place = element("span", { class: "place" });
  const told = element("p", { class: "told", "aria-live": "polite" });
  const layers = element("div", { class: "layers" });
  figure.append(
    element("div", { class: "controls" },
      ...(content.arms.length > 1 ? [element("label", {}, "Start", select)] : []),
      element("label", {}, "Step", slider), back, on, place),
    told,
    layers,
    element("figcaption", {}, `One seed, ${content.images} validation images, without dropout. Left: how many outputs of the layer, before its activation, have which value; all steps share a layer's scale. Right: the gradients of the loss there, by powers of ten; all layers and steps share the scale, and gradients that are exactly 0 are counted beside it.`),
  );

  /** The union of ranges, or null where there is none. */
  function reach(ranges) {
    const known = ranges.filter((pair) => pair[0] !== null && pair[1] !== null);
    return known.length ? [Math.min(...known.map((p) => p[0])), Math.max(...known.map((p) => p[1]))] : null;
  }

  /** A histogram as bars over `span`; `range` is that of the counts. */
  function bars(counts, range, span, text, ticks) {
    const W = 280, H = 64, base = H - 16;
    const svg = element("svg", { viewBox: `0 0 ${W} ${H}`, class: "bars", role: "img", "aria-label": text });
    let [low, high] = span || [0, 1];
    if (!(high > low)) [low, high] = [low - Math.max(1, Math.abs(low) / 2), high + Math.max(1, Math.abs(high) / 2)];
    const at = (v) => 4 + ((v - low) / (high - low)) * (W - 8);
    svg.append(element("line", { x1: 0, x2: W, y1: base + 0.5, y2: base + 0.5, class: "axis" }));
    for (const [v, label] of ticks(low, high)) {
      const x = at(v);
      const anchor = x < 30 ? "start" : x > W - 30 ? "end" : "middle";
      svg.append(element("line", { x1: x, x2: x, y1: 2, y2: base + 3, class: v === 0 ? "axis" : "faint" }));
      svg.append(element("text", { x: anchor === "middle" ? x : anchor === "start" ? Math.max(0, x - 4) : Math.min(W, x + 4), y: H - 3, "text-anchor": anchor }, label));
    }
    const most = Math.max(...counts);
    if (range[0] !== null && most > 0) {
      const step = (range[1] - range[0]) / counts.length;
      counts.forEach((count, b) => {
        if (!count) return;
        const left = step > 0 ? at(range[0] + b * step) : at(range[0]) - 1.5;
        const right = step > 0 ? at(range[0] + (b + 1) * step) : at(range[0]) + 1.5;
        const h = Math.max(1, (count / most) * (base - 4));
        svg.append(element("rect", { x: left, width: Math.max(1.2, right - left - 0.4), y: base - h, height: h, class: "bar" }));
      });
    }
    return svg;
  }

  const linear = (low, high) => [low, ...(low < 0 && high > 0 && Math.min(-low, high) > 0.12 * (high - low) ? [0] : []), high].map((v) => [v, short(v)]);
  const short = (v) => (v === 0 ? "0" : Math.abs(v) >= 1e5 || Math.abs(v) < 1e-2 ? said(v) : minus(Number(v.toPrecision(2)).toLocaleString("en")));
  function decades(low, high) {
    const every = Math.max(1, Math.ceil((high - low) / 4));
    const found = [];
    for (let k = Math.ceil(low); k <= high; k++) if (k % every === 0) found.push([k, power(k)]);
    return found;
  }

  function draw() {
    const arm = content.arms[state.arm];
    slider.max = arm.steps.length - 1;
    state.look = Math.min(state.look, arm.steps.length - 1);
    slider.value = state.look;
    const k = state.look;
    back.disabled = k === 0;
    on.disabled = k === arm.steps.length - 1;
    slider.setAttribute("aria-valuetext", arm.called[k]);
    place.textContent = arm.called[k];
    const fine = arm.words[k].join() === "fine";
    const loss = arm.loss[k] === null ? "not a number" : said(arm.loss[k]);
    told.replaceChildren(
      `${arm.label}, ${arm.called[k]}: `,
      element("span", { class: fine ? "fine" : "bad" }, arm.words[k].join(", ")),
      `. The loss is ${loss}; a blind guess has ${Math.log(content.classes).toFixed(2)}.`,
    );
    const wide = reach(arm.log_dY_range.flat());
    const span = wide && [Math.floor(wide[0]), Math.max(Math.ceil(wide[1]), Math.floor(wide[0]) + 1)];
    layers.replaceChildren(
      ...arm.units.map((units, i) => {
        const verdicts = arm.layers[k][i].filter(([word], v, all) => all.findIndex((other) => other[0] === word) === v);
        const last = i === arm.units.length - 1;
        const total = units * content.images;
        const zero = total - arm.log_dY[k][i].reduce((a, b) => a + b, 0);
        const differ = arm.distinct[k][i];
        const reasons = verdicts.length ? verdicts : [["fine", "no rule is broken"]];
        const share = zero ? `, ${Math.round((100 * zero) / total)} % are 0` : "";
        return element("section", { class: "layer" },
          element("h4", {}, last ? `Layer ${i + 1}: ${units} logits` : `Layer ${i + 1}: ${units} units`),
          element("div", {}, element("p", { class: "small" }, `Outputs, mean square ${said(arm.signal[k][i])}`),
            bars(arm.y[k][i], arm.y_range[k][i], reach(arm.y_range.map((look) => look[i])), `Histogram of the outputs of layer ${i + 1}, from ${said(arm.y_range[k][i][0])} to ${said(arm.y_range[k][i][1])}`, linear)),
          element("div", {}, element("p", { class: "small" }, `Gradients, mean square ${said(arm.gradient[k][i])}${share}`),
            bars(arm.log_dY[k][i], arm.log_dY_range[k][i], span, `Histogram of the gradients at layer ${i + 1} by powers of ten`, decades)),
          element("div", { class: "says" },
            element("p", {}, `${differ} distinct unit${differ === 1 ? "" : "s"} of ${units}, effective rank ${said(arm.rank[k][i])}`),
            ...reasons.map(([word, reason]) => element("p", {}, element("span", { class: word === "fine" ? "fine" : "bad" }, word), `: ${reason}`))));
      }),
    );
  }
  draw();
}

/* --- all of them --------------------------------------------------------------------------------------------------- */

for (const [kind, build] of [["chart", chart], ["steps", steps]])
  for (const figure of document.querySelectorAll(`figure.${kind}`))
    try {
      build(figure, JSON.parse(document.getElementById(`${figure.id}-data`).textContent));
    } catch (error) {
      document.documentElement.classList.remove("script"); // the pictures and tables say the same
      throw error;
    }

addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details:not([open])")) {
    details.open = true;
    details.dataset.opened = "for print";
  }
});
addEventListener("afterprint", () => {
  for (const details of document.querySelectorAll("details[data-opened]")) {
    details.open = false;
    delete details.dataset.opened;
  }
});
