// The charts, by dygraphs; and how patient those that left were, as bars.
import {element, number, seconds} from "/tables.js";

const LINES = 7; // with a colour of their own; the rest are one
const LEAST_STEPS = 20; // on an axis, however short it has run

// The legends are ours: dygraphs' own needs styles in its markup.
Dygraph.PLUGINS = Dygraph.PLUGINS.filter((one) =>
  one !== Dygraph.Plugins.Legend);
const charts = new Map();
let lastHistory = null;
let lastCurves = null;

function colour(i) {
  return getComputedStyle(document.documentElement)
    .getPropertyValue(`--c${i}`).trim();
}

function quiet(name) {
  return getComputedStyle(document.documentElement)
    .getPropertyValue(name).trim();
}

function add(a, b) {
  return a.map((n, i) => n + b[i]);
}

function total(list) {
  return list.reduce((all, n) => all + n, 0);
}

// A time of day; of longer steps the day is told too, or alone.
function clock(ms, step) {
  const at = new Date(ms);
  const day = () => at.toLocaleDateString([], {day: "numeric", month: "short"});
  if (step >= 86400)
    return day();
  if (step >= 3600)
    return `${day()} ${String(at.getHours()).padStart(2, "0")} h`;
  const two = (n) => String(n).padStart(2, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}`;
}

// What is told of a chart in words, for who does not see it.
function makeTable(series, format) {
  const rows = series.map((one) => element("tr", "",
    element("td", "", one.name),
    element("td", "n", format(one.summary))));
  return element("table", "", element("tbody", "", ...rows));
}

class Chart {
  constructor(id, options) {
    this.figure = document.getElementById(id);
    this.options = options;
    this.off = new Set(); // names of lines that are not to be seen
    this.place = element("div", "chart");
    this.place.setAttribute("role", "img");
    this.empty = element("p", "empty", options.none);
    this.readout = element("p", "readout");
    this.readout.setAttribute("aria-hidden", "true");
    this.legend = element("ul", "legend");
    this.words = element("div", "");
    this.figure.append(this.place, this.empty, this.readout, this.legend,
      element("details", "", element("summary", "", "As a table"),
        this.words));
  }

  // series: {key, name, title, values, summary, colour}, the heaviest first.
  // The last step is not over: where there are others, it has no point.
  draw(times, series, isLastOver = true) {
    this.times = times;
    this.isLastOver = isLastOver;
    this.series = series;
    this.empty.hidden = series.length > 0;
    this.place.hidden = series.length === 0;
    this.drawLegend();
    this.words.replaceChildren(makeTable(series, this.options.format));
    this.place.setAttribute("aria-label", series.map((one) =>
      `${one.name}: ${this.options.format(one.summary)}`).join("; "));
    if (series.length > 0)
      this.drawLines();
  }

  drawLegend() {
    const buttons = () => [...this.legend.querySelectorAll("button")];
    const focused = buttons().indexOf(document.activeElement);
    this.legend.replaceChildren(...this.series.map((one, i) => {
      const swatch = element("span", "swatch");
      swatch.style.background = one.colour;
      const name = element("span", "name", one.name);
      const button = element("button", "", swatch, name,
        element("span", "n", this.options.format(one.summary)));
      button.type = "button";
      button.title = one.title ?? one.name;
      button.setAttribute("aria-pressed", String(!this.off.has(one.key)));
      button.addEventListener("click", () => {
        if (!this.off.delete(one.key))
          this.off.add(one.key);
        this.draw(this.times, this.series, this.isLastOver);
      });
      return element("li", "", button);
    }));
    buttons()[focused]?.focus(); // who is there stays there
  }

  drawLines() {
    const seen = this.series.filter((one) => !this.off.has(one.key));
    // dygraphs stacks the last one first.
    const lines = this.options.stacked ? [...seen].reverse() : seen;
    const rows = this.times.slice(0, this.isLastOver ? undefined : -1)
      .map((time, i) =>
        [this.options.isTime ? time : new Date(time),
          ...lines.map((one) => one.values[i])]);
    const options = {
      labels: ["time", ...lines.map((one, i) => `${i}`)],
      colors: lines.map((one) => one.colour),
      axisLineColor: quiet("--line"), gridLineColor: quiet("--line"),
    };
    this.lines = lines;
    if (lines.length === 0) {
      this.graph?.destroy();
      this.graph = null;
    } else if (this.graph) {
      this.graph.updateOptions({file: rows, ...options});
    } else {
      this.graph = new Dygraph(this.place, rows, {
        ...this.fixedOptions(), ...options});
    }
  }

  fixedOptions() {
    const {stacked, format} = this.options;
    return {
      legend: "never", stackedGraph: Boolean(stacked),
      fillGraph: Boolean(stacked) || Boolean(this.options.filled),
      fillAlpha: stacked ? 0.7 : 0.2, strokeWidth: stacked ? 1 : 2,
      stepPlot: false, connectSeparatedPoints: false, includeZero: true,
      gridLinePattern: [2, 4], gridLineWidth: 1, axisLineWidth: 1,
      highlightCircleSize: 3, interactionModel: {}, digitsAfterDecimal: 2,
      xRangePad: 2, yRangePad: 4,
      axes: {
        x: {drawGrid: false, axisLabelWidth: 50,
            axisLabelFormatter: (x) => this.when(x)},
        y: {axisLabelWidth: 46, axisLabelFormatter: (n) => format(n, true)},
      },
      highlightCallback: (event, time, points, row) => this.read(time, row),
      unhighlightCallback: () => this.readout.replaceChildren(),
    };
  }

  // Of a point of the axis: the time of day, or how long it took.
  when(x) {
    return this.options.isTime ? seconds(x) : clock(Number(x), lastHistory?.step);
  }

  read(time, row) {
    const told = this.lines.map((one) => [one.name, one.values[row]])
      .filter(([, value]) => value > 0)
      .sort(([, a], [, b]) => b - a).slice(0, 4);
    this.readout.textContent = `${this.when(time)}  ` + (told.length === 0
      ? "nothing" : told.map(([name, value]) =>
        `${name} ${this.options.format(value)}`).join(" · "));
  }
}

function whole(n, isAxis) {
  return isAxis && n % 1 !== 0 ? "" : number(n);
}

function after(n) {
  return n === 0 ? "0" : seconds(n);
}

const OPTIONS = {
  delivers: {stacked: true, format: whole,
             none: "Nothing was delivered in this time."},
  refused: {stacked: true, format: whole,
            none: "Nothing was refused, and nobody gave up, in this time."},
  added: {format: after, none: "Nothing was delayed in this time."},
  holding: {filled: true, format: whole,
            none: "Nobody was held in this time."},
  curves: {isTime: true, format: (n) => `${Math.round(100 * n)} %`,
           none: "Nobody was held yet."},
  leavers: {stacked: true, format: whole,
            none: "Nobody gave up in this time."},
};

function chart(id) {
  if (!charts.has(id))
    charts.set(id, new Chart(id, OPTIONS[id]));
  return charts.get(id);
}

// The same lines in the same colours in each chart: those seen most. A name
// for people, with the raw text where it alone tells two apart.
function linesOf(history) {
  const chosen = [...history.signatures]
    .sort((a, b) => total(b.sessions) - total(a.sessions)).slice(0, LINES);
  const isShared = (label) =>
    chosen.filter((one) => one.label === label).length > 1;
  return chosen.map((one, i) => ({
    ...one, key: one.text, title: one.text, colour: colour(i),
    name: !one.label ? one.text
      : isShared(one.label) ? `${one.label} ${one.text}` : one.label}));
}

// The heaviest first, what is left as one line; all of it adds up to `whole`.
function bySignature(history, whatOf) {
  const all = history.classes.map(whatOf).reduce(add);
  const lines = linesOf(history).map((one) => ({
    ...one, values: whatOf(one), summary: total(whatOf(one)),
  })).filter((one) => one.summary > 0)
    .sort((a, b) => b.summary - a.summary);
  // A session may be among a signature's a moment before it is among all.
  let ahead = 0;
  const rest = all.map((n, i) => {
    const left = lines.reduce((sum, one) => sum - one.values[i], n - ahead);
    ahead = Math.max(0, -left);
    return Math.max(0, left);
  });
  if (total(rest) > 0)
    lines.push({key: "", name: "all others", values: rest, summary: total(rest),
                colour: colour(LINES)});
  return lines;
}

function byClass(history, key, summarise) {
  return history.classes.map((one, i) => ({
    key: one.name, name: one.name, colour: colour(i % (LINES + 1)), values: one[key], summary: summarise(one[key]),
  })).filter((one) => one.summary > 0)
    .sort((a, b) => b.summary - a.summary);
}

function notDelivered(one) {
  return [one.spam, one.unknown_users, one.refused, one.gave_up].reduce(add);
}

// Without the time before it ran, but for some so that there is an axis.
function trim(history) {
  const first = history.held.findIndex((held) => held !== null);
  const from = Math.max(0, Math.min(first,
    history.held.length - LEAST_STEPS));
  const cut = (one) => Object.fromEntries(Object.entries(one).map(
    ([key, value]) => [key, Array.isArray(value) ? value.slice(from) : value]));
  return {
    start: history.start + from * history.step, step: history.step,
    held: history.held.slice(from).map((held) => held ?? 0),
    classes: history.classes.map(cut), signatures: history.signatures.map(cut),
  };
}

export function drawCharts(untrimmed) {
  lastHistory = untrimmed;
  const history = trim(untrimmed);
  const isFew = untrimmed.held.filter((held) => held !== null).length < 4;
  const draw = (id, series) => chart(id).draw(times, series, isFew);
  const times = history.held.map((unused, i) =>
    1000 * (history.start + i * history.step));
  const most = (values) => values.reduce((a, b) => Math.max(a, b), 0);
  draw("delivers", bySignature(history, (one) => one.delivered));
  draw("refused", bySignature(history, notDelivered));
  draw("added", byClass(history, "p99", most));
  draw("holding", most(history.held) === 0 ? [] : [{
    key: "held", name: "held at most", values: history.held,
    summary: most(history.held), colour: colour(0)}]);
  draw("leavers", byClass(history, "gave_up", total));
}

// How many of those that gave up had left after so long, as steps.
export function drawPatience({seconds: bounds, counts}) {
  const place = document.querySelector("#patience .curve");
  const all = total(counts);
  if (all === 0) {
    place.replaceChildren(element("p", "empty", "Nobody has given up yet."));
    return;
  }
  let left = 0;
  const rows = bounds.map((bound, i) => {
    left += counts[i];
    return {bound, left, share: left / all};
  });
  const end = rows.findIndex((row) => row.share === 1);
  rows.length = end >= 0 ? end + 1 : rows.length;
  while (rows.length > 4 && rows[1].left === 0)
    rows.shift();
  place.replaceChildren(element("table", "", element("tbody", "",
    ...rows.map((row) => {
      const bar = element("div", "bar", element("span", "gave_up"));
      bar.firstChild.style.width = `${100 * row.share}%`;
      bar.setAttribute("aria-hidden", "true");
      const made = element("tr", "",
        element("th", "", `${seconds(row.bound)}`),
        element("td", "wide", bar),
        element("td", "n", `${Math.round(100 * row.share)} %`));
      made.dataset.left = row.left;
      return made;
    }))));
}

// Of bad, unknown and good senders; as far as anybody waited.
export function drawCurves(answer) {
  const sorts = [["bad", "thought bad", 3], ["unknown", "not known", 2],
    ["good", "thought good", 0]];
  const step = answer.width_ms / 1000;
  const series = sorts.map(([key, name, i]) => ({
    key, name: `${name}, ${number(answer[key].sessions)} held`,
    colour: colour(i), values: answer[key].gone, held: answer[key].sessions,
    summary: answer[key].gone.reduce((a, b) => Math.max(a, b ?? 0), 0),
  })).filter((one) => one.held > 0);
  const end = series.reduce((most, one) =>
    Math.max(most, one.values.findLastIndex((share) => share !== null)), 0);
  const times = Array.from({length: end + 1}, (unused, i) => i * step);
  lastCurves = answer;
  chart("curves").draw(times, series);
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  if (lastHistory)
    drawCharts(lastHistory);
  if (lastCurves)
    drawCurves(lastCurves);
});
