// A chart of A and B, and of the runs before: uPlot, with the colours of the theme, arrow keys and a line for the ears.

const dark = matchMedia("(prefers-color-scheme: dark)");
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** A number in a few characters: 0.41, 320, 3.2e4, 4e-12; a dash where there is none. */
export function size(x) {
  if (x === null || x === undefined) return "–";
  const a = Math.abs(x);
  if (a === 0) return "0";
  if (a >= 1000 || a < 0.01) return x.toExponential(1).replace("e+", "e");
  return a >= 100 ? x.toFixed(0) : String(Number(x.toPrecision(2)));
}

/** The range of a logarithmic axis, on which log₁₀ y is drawn: uPlot's own fails where numbers are below 1e-16. */
const decades = (plot, low, high) => (Number.isFinite(low) && Number.isFinite(high) ? [low - 0.12, high + 0.12] : [0, 1]);

export class Chart {
  /** `id`: the element's. `x`, `y`: what the axes say. `log`: whether y is logarithmic. `show`: a value in words. */
  constructor(id, { x, y, log = false, points = false, show = size, range }) {
    this.element = document.getElementById(id);
    this.line = document.getElementById(`${id}-value`);
    this.x = x;
    this.log = log;
    this.show = log ? (v) => show(10 ** v) : show;
    const axis = (label, more = {}) => ({
      label,
      labelSize: 22,
      stroke: () => colour("--soft"),
      grid: { stroke: () => colour("--grid"), width: 1 },
      ticks: { stroke: () => colour("--rule"), width: 1 },
      ...more,
    });
    const line = (name, own, dash) => ({
      label: name,
      stroke: () => colour(own) + (dash ? "99" : ""),
      width: dash ? 3 : 1.75,
      dash,
      points: { show: points && !dash, size: 7 },
    });
    this.plot = new uPlot(
      {
        ...this.space(),
        legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false } },
        scales: {
          x: { time: false, range: (u, low, high) => [low ?? 0, Math.max(high ?? 1, (low ?? 0) + 1)] },
          y: { range: range || decades },
        },
        axes: [axis(x, { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000] }), axis(y, { size: 56, values: (u, ticks) => ticks.map((t) => (t === null ? "" : this.show(t))) })],
        series: [
          {},
          line("A before", "--arm-0", [2, 4]),
          line("B before", "--arm-1", [2, 4]),
          line("A", "--arm-0"),
          line("B", "--arm-1"),
        ],
        hooks: { setCursor: [() => this.say()] },
      },
      [[0], [null], [null], [null], [null]],
      this.element,
    );
    this.element.setAttribute("role", "img");
    this.element.tabIndex = 0;
    this.element.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.plot.setSize(this.space())).observe(this.element);
    dark.addEventListener("change", () => this.plot.redraw(false));
  }

  space() {
    return { width: Math.max(200, this.element.clientWidth), height: this.element.clientHeight };
  }

  /** Draw: xs, and for each of A before, B before, A, B its values at them. `name` is read aloud. */
  set(xs, lines, name) {
    this.element.setAttribute("aria-label", name);
    const drawn = this.log ? lines.map((line) => line.map((v) => (v > 0 ? Math.log10(v) : null))) : lines;
    this.plot.setData([xs, ...drawn]);
  }

  key(event) {
    const last = this.plot.data[0].length - 1;
    const now = this.plot.cursor.idx ?? 0;
    const far = Math.max(1, Math.round(last / 20)) * (event.shiftKey ? 5 : 1);
    const to = { ArrowLeft: now - far, ArrowRight: now + far, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const index = Math.min(last, Math.max(0, to));
    this.plot.setCursor({ left: this.plot.valToPos(this.plot.data[0][index], "x"), top: 10 });
  }

  say() {
    const index = this.plot.cursor.idx;
    if (index === null || index === undefined) {
      this.line.textContent = "";
      return;
    }
    const [xs, , , a, b] = this.plot.data;
    const values = [["A", a], ["B", b]].filter(([, v]) => v[index] !== null && v[index] !== undefined);
    const text = values.map(([side, v]) => `${side} ${this.show(v[index])}`).join(", ");
    this.line.textContent = text ? `${this.x} ${xs[index]}: ${text}` : "";
  }
}
