// The page of the playground: it sends what is chosen, asks for frames, and shows them.

import { Chart, size } from "./charts.js";
import { layersTable } from "./layers.js";

const SIDES = ["A", "B"];
const POLL = 250; // milliseconds between two questions; also how the server knows that this tab is open
const LABELS = {
  initialization: "Initialization", arguments: "its arguments", depth: "Hidden layers", width: "Width",
  taper: "halve it layer by layer", activation: "Activation", normalization: "Normalization", dropout: "Dropout",
  optimizer: "Optimizer", learning_rate: "Learning rate", batch_size: "Batch size",
};
const $ = (id) => document.getElementById(id);

let facts, session, charts, frame, timer;
let curves = { A: [], B: [] }; // losses of the present training
let forget = false; // another preset has been loaded: its curves have nothing to do with those before
let before = { A: null, B: null }; // {losses, judged} of the one before the last rewind

/** The answer to a message; throws an Error with the server's sentence. */
async function ask(name, message = {}) {
  const answer = await fetch(name, { method: "POST", body: JSON.stringify(session ? { session, ...message } : message) });
  const found = await answer.json();
  if (answer.ok) return found;
  throw Object.assign(new Error(found.error), { status: answer.status, field: found.field });
}

// --- controls --------------------------------------------------------------------------------------------------------

function field(side, name) {
  const label = document.createElement("label");
  const choices = facts.choices[name];
  const input = document.createElement(choices ? "select" : "input");
  input.id = `${side}.${name}`;
  if (choices) input.append(...choices.map((choice) => new Option(choice)));
  else if (name === "taper") input.type = "checkbox";
  else input.type = "text";
  if (["depth", "width", "batch_size"].includes(name)) input.inputMode = "numeric";
  if (name === "arguments") input.placeholder = "gain=1.3";
  input.autocomplete = "off";
  input.addEventListener("change", apply);
  if (name === "taper") label.className = "check";
  label.append(...(name === "taper" ? [input, LABELS[name]] : [LABELS[name], input]));
  return label;
}

const read = (side) => Object.fromEntries(Object.keys(LABELS).map((name) => {
  const input = $(`${side}.${name}`);
  return [name, name === "taper" ? (input.checked ? "yes" : "no") : input.value];
}));

function fill(side, values) {
  for (const [name, value] of Object.entries(values)) {
    const input = $(`${side}.${name}`);
    if (name === "taper") input.checked = value === "yes";
    else input.value = value;
  }
}

function build() {
  for (const side of SIDES) {
    const legend = document.createElement("legend");
    legend.textContent = side;
    $(`fields-${side}`).append(legend, ...Object.keys(LABELS).map((name) => field(side, name)));
  }
  $("images").append(...facts.images.map((n) => new Option(n.toLocaleString("en"), n)).reverse());
  $("seed").max = facts.limits.seed;
  $("data").textContent = `of ${facts.dataset}, a fifth of them kept for validation`;
  $("stand-in").hidden = !facts.stand_in;
  $("stand-in").textContent = "This is not Fashion-MNIST but a stand-in that code has drawn: compare no number with others.";
  for (const preset of facts.presets) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = preset.name;
    button.addEventListener("click", () => load(preset));
    $("presets").append(button);
  }
  for (const id of ["seed", "images", "with-b"]) $(id).addEventListener("change", apply);
  $("train").addEventListener("click", () => send(frame?.running ? "pause" : "start", frame?.running ? {} : pace()));
  $("rewind").addEventListener("click", () => send("rewind"));
  $("pace").addEventListener("change", () => frame?.running && send("start", pace()));
  for (const button of document.querySelectorAll("[data-steps]")) {
    button.addEventListener("click", () => send("step", { steps: Number(button.dataset.steps) }));
  }
  const percent = (x) => `${(100 * x).toFixed(0)} %`;
  charts = {
    loss: new Chart("loss", { x: "step", y: "loss", log: true }),
    accuracy: new Chart("accuracy", { x: "step", y: "accuracy", points: true, show: percent, range: () => [0, 1] }),
    signal: new Chart("signal", { x: "layer", y: "E[y²]", log: true, points: true }),
    gradient: new Chart("gradient", { x: "layer", y: "Σ E[dy²]", log: true, points: true }),
  };
}

const pace = () => ({ pace: $("pace").value });

function load(preset) {
  for (const side of SIDES) fill(side, preset[side]);
  $("with-b").checked = true;
  for (const button of $("presets").children) button.setAttribute("aria-pressed", button.textContent === preset.name);
  $("watch").textContent = preset.watch;
  forget = true;
  apply();
}

/** Begin anew with what is chosen. */
function apply(event) {
  if (event) {
    for (const button of $("presets").children) button.setAttribute("aria-pressed", "false");
    $("watch").textContent = "";
  }
  const b = $("with-b").checked;
  $("fields-B").disabled = !b;
  const seed = $("seed").value;
  send("set", { seed, images: $("images").value, A: read("A"), ...(b ? { B: read("B") } : {}) });
}

// --- messages --------------------------------------------------------------------------------------------------------

let queue = Promise.resolve();

/** Send a message after those before it, and show the frame that answers it. */
function send(name, message = {}) {
  queue = queue.then(async () => {
    try {
      const first = name === "set" && !session;
      const found = await ask(first ? "open" : name, message);
      if (first) session = found.session;
      complain();
      show(found);
    } catch (error) {
      complain(error);
    }
  });
  return queue;
}

function complain(error) {
  for (const input of document.querySelectorAll("[aria-invalid]")) {
    input.removeAttribute("aria-invalid");
    input.removeAttribute("aria-describedby");
  }
  $("error").hidden = !error;
  if (!error) return;
  const gone = error.status === undefined;
  $("error").textContent = gone ? "The playground does not answer: has it been stopped in the terminal?" : `${error.message}.`;
  if (gone || error.status === 410) session = undefined;
  const input = error.field && $(error.field);
  if (input) {
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", "error");
  }
}

async function poll() {
  clearTimeout(timer);
  if (session) {
    await queue;
    const since = Object.fromEntries(SIDES.map((side) => [side, curves[side].length]));
    await (queue = queue.then(async () => {
      try {
        show(await ask("frame", { generation: frame.generation, ...since }));
      } catch (error) {
        complain(error);
      }
    }));
  }
  timer = setTimeout(poll, POLL);
}

// --- what is seen ----------------------------------------------------------------------------------------------------

function show(found) {
  const anew = frame && found.generation !== frame.generation;
  for (const side of SIDES) {
    if (anew && forget) before[side] = null;
    else if (anew && curves[side].length) before[side] = { losses: curves[side], judged: frame[side].judged };
    const part = found[side];
    if (!part) before[side] = null;
    curves[side] = part ? [...(anew || !frame ? [] : curves[side].slice(0, part.since)), ...part.losses] : [];
  }
  if (anew || !frame) forget = false;
  const same = !anew && frame && JSON.stringify([frame.A, frame.B]) === JSON.stringify([found.A, found.B]);
  frame = found;
  $("train").textContent = found.running ? "Pause" : "Train";
  $("train").disabled = found.over;
  for (const button of document.querySelectorAll("[data-steps]")) button.disabled = found.over || found.running;
  const status = status_line(found);
  $("status").setAttribute("aria-live", found.running ? "off" : "polite"); // nobody can listen to every step
  if ($("status").textContent !== status) $("status").textContent = status;
  $("difference").textContent = found.difference ?? "Only A: turn on B to change one thing beside it.";
  if (same) return;
  for (const side of SIDES) {
    for (const what of ["loss", "accuracy", "signal", "gradient", "units"]) {
      const text = found[side]?.told[what];
      $(`${what}-${side}`).textContent = text ? `${side}: ${text}` : "";
    }
  }
  draw(found);
  $("layers").replaceChildren(...SIDES.filter((side) => found[side]).map((side) => layersTable(side, found[side])));
  if ($("numbers").open) numbers();
}

function status_line(found) {
  const parts = SIDES.filter((side) => found[side]).map((side) => {
    const { done, start, weights, diverged, epoch } = found[side];
    const at = weights ? `weights ${weights}` : "training";
    return `${side}: step ${done} (${(done / epoch).toFixed(1)} epochs), ${diverged ? "diverged, " : ""}${at}, began as ${start}`;
  });
  return [`Seed ${found.A.seed}.`, `${parts.join(". ")}.`, found.why].join(" ").trim();
}

function draw(found) {
  const longest = Math.max(1, ...SIDES.flatMap((side) => [curves[side].length, before[side]?.losses.length ?? 0]));
  const padded = (values) => Array.from({ length: longest }, (_, i) => values?.[i] ?? null);
  const steps = Array.from({ length: longest }, (_, i) => i + 1);
  const name = (what, key) => `${what}. ${SIDES.map((side) => found[side]?.told[key] && `${side}: ${found[side].told[key]}`).filter(Boolean).join(" ")}`;
  charts.loss.set(steps, [...SIDES.map((side) => padded(before[side]?.losses)), ...SIDES.map((side) => padded(curves[side]))], name("Training loss", "loss"));
  const judged = [...SIDES.map((side) => before[side]?.judged), ...SIDES.map((side) => found[side]?.judged)];
  const at = [...new Set(judged.flatMap((pairs) => (pairs ?? []).map(([step]) => step)))].sort((a, b) => a - b);
  charts.accuracy.set(at, judged.map((pairs) => {
    const known = new Map(pairs ?? []);
    return at.map((step) => known.get(step) ?? (step > Math.max(...known.keys(), -1) ? null : undefined));
  }), name("Validation accuracy", "accuracy"));
  const depth = Math.max(...SIDES.map((side) => found[side]?.layers.length ?? 0));
  const layers = Array.from({ length: depth }, (_, i) => i + 1);
  for (const [chart, key] of [["signal", "signal"], ["gradient", "gradient_sum"]]) {
    const lines = SIDES.map((side) => layers.map((_, i) => found[side]?.layers[i]?.[key] || null));
    const none = layers.map(() => null);
    charts[chart].set(layers, [none, none, ...lines], name(chart === "signal" ? "Signals by layer" : "Gradients by layer", chart));
  }
}

/** Loss and accuracy at the steps at which the accuracy was measured, at most twenty of them. */
function numbers() {
  const sides = SIDES.filter((side) => frame[side]);
  const at = [...new Set(sides.flatMap((side) => frame[side].judged.map(([step]) => step)))].sort((a, b) => a - b);
  const every = Math.ceil(at.length / 20);
  const rows = at.filter((_, i) => i % every === 0 || i === at.length - 1);
  const table = $("steps");
  table.replaceChildren();
  const head = table.createTHead().insertRow();
  for (const text of ["Step", ...sides.flatMap((side) => [`${side}, loss`, `${side}, accuracy`])]) {
    head.append(Object.assign(document.createElement("th"), { textContent: text, scope: "col", className: "number" }));
  }
  const body = table.createTBody();
  for (const step of rows) {
    const row = body.insertRow();
    row.append(Object.assign(document.createElement("th"), { textContent: step, scope: "row", className: "number" }));
    for (const side of sides) {
      const found = frame[side].judged.find(([s]) => s === step);
      for (const text of [size(curves[side][step - 1]), found ? `${(100 * found[1]).toFixed(1)} %` : "–"]) {
        row.append(Object.assign(document.createElement("td"), { textContent: text, className: "number" }));
      }
    }
  }
}

// --- the tab ---------------------------------------------------------------------------------------------------------

addEventListener("pagehide", () => {
  if (session) fetch("close", { method: "POST", keepalive: true, body: JSON.stringify({ session }) });
});
addEventListener("pageshow", (event) => event.persisted && location.reload());
$("numbers").addEventListener("toggle", () => $("numbers").open && frame && numbers());

facts = await (await fetch("facts")).json();
build();
load(facts.presets[1]);
await queue;
poll();
