// Charts over time, drawn with uPlot where the build has it, else with plot.js; and the bars of a distribution.

import {Plot} from "./plot.js";
import * as format from "./format.js";

const LABEL_INTERVAL_MS = 10000;
const LEAST_SECONDS = 60;

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** Round numbers, and into how many round parts each is cut on a tall chart. */
const ROUND = [[1, 5], [1.5, 3], [2, 4], [3, 3], [4, 4], [5, 5], [6, 3], [8, 4], [10, 5]];

/** The least round number that is not below, and its parts: [top, parts]. */
function roundUp(value, least) {
  const floor = Math.max(value, least);
  const power = 10 ** Math.floor(Math.log10(floor));
  const [top, parts] = ROUND.find(([step]) => step * power >= floor * 0.9999);
  return [top * power, parts];
}

function legend(spec) {
  const list = document.createElement("p");
  list.className = "legend";
  list.ariaHidden = "true";
  const values = spec.series.map(series => {
    const item = document.createElement("span");
    const swatch = document.createElement("span");
    swatch.className = `swatch ${series.colour.slice(2)}`;
    const value = document.createElement("b");
    item.append(swatch, `${series.label} `, value);
    list.append(item);
    return value;
  });
  return {list, values};
}

function uplotOptions(spec, chart, size) {
  const axis = {stroke: () => colour("--muted"), grid: {stroke: () => colour("--line"), width: 1}, ticks: {show: false}};
  axis.font = `11px ${colour("--font")}`;
  return {
    ...size,
    padding: [8, 22, 0, 0],
    legend: {show: false},
    cursor: {sync: {key: "cryprq"}, drag: {x: false, y: false}, points: {size: 7}},
    scales: {x: {time: true, range: () => [chart.from, chart.to]}, y: {range: () => [0, chart.top]}},
    series: [{}, ...spec.series.map(series => ({
      label: series.label,
      stroke: () => colour(series.colour),
      fill: () => colour(`${series.colour}-fill`),
      width: 1.75,
      points: {show: false},
    }))],
    axes: [
      {...axis, grid: {show: false}, size: 26, space: 70, values: (u, ticks) => ticks.map(t =>
        new Date(t * 1000).toLocaleTimeString("en-GB", t % 60 ? {} : {hour: "2-digit", minute: "2-digit"}))},
      {...axis, size: 64, gap: 6, splits: () => chart.ticks(), values: (u, ticks) => ticks.map(spec.axis)},
    ],
    hooks: {setCursor: [u => chart.point(u.cursor.idx)]},
  };
}

/** spec: {title, series: [{label, colour: "--rx"}], value(n), axis(n), least} */
export class Chart {
  constructor(place, spec) {
    this.place = place;
    this.spec = spec;
    this.labelled = -Infinity;
    this.from = this.to = 0;
    [this.top, this.parts] = [spec.least, 1];
    this.index = null;
    const {list, values} = legend(spec);
    this.values = values;
    this.box = document.createElement("div");
    this.box.className = "plot";
    this.box.setAttribute("role", "img");
    this.box.setAttribute("aria-label", spec.title);
    place.append(this.box, list);
    new ResizeObserver(() => this.resize()).observe(this.box);
  }

  size() {
    return {width: Math.floor(this.box.clientWidth), height: Math.floor(this.box.clientHeight)};
  }

  make() {
    if (window.uPlot) {
      this.plot = new window.uPlot(uplotOptions(this.spec, this, this.size()), this.data, this.box);
      return;
    }
    const canvas = document.createElement("canvas");
    this.box.append(canvas);
    this.plot = new Plot(canvas, this.spec, colour);
    this.resize();
  }

  resize() {
    const {width, height} = this.size();
    if (!this.plot || width === 0) return;
    if (window.uPlot) this.plot.setSize({width, height});
    else this.plot.resize(width, height);
  }

  ticks() {
    const parts = this.box.clientHeight > 140 ? this.parts : 1;
    return Array.from({length: parts + 1}, (_, i) => this.top * i / parts);
  }

  /** data: times and one list per series; shown are up to `seconds` before `now`, at first fewer. */
  update(data, now, seconds) {
    this.data = data;
    this.from = Math.max(now - seconds, Math.min(data[0][0], now - LEAST_SECONDS));
    this.to = now;
    let most = 0;
    for (let i = 0; i < data[0].length; i++)
      if (data[0][i] >= this.from)
        for (const list of data.slice(1)) most = Math.max(most, list[i] ?? 0);
    this.most = most;
    [this.top, this.parts] = this.spec.fit(most, this.spec.least);
    if (!this.plot) this.make();
    if (window.uPlot) this.plot.setData(data);
    else this.plot.setData(data, this.from, this.to, this.ticks());
    this.point(this.index);
    this.describe();
  }

  /** Values of a moment in the legend; null: of the newest. */
  point(index) {
    const at = index === null || index === undefined ? this.data[0].length - 1 : index;
    this.index = index ?? null;
    this.values.forEach((element, i) => {
      const value = this.data[i + 1][at];
      const text = value === null || value === undefined ? "–" : this.spec.value(value);
      if (element.textContent !== text) element.textContent = text;
    });
  }

  /** In words, and not at every step: a reader that stands on it shall not start anew each second. */
  describe() {
    const now = performance.now();
    if (now - this.labelled < LABEL_INTERVAL_MS) return;
    this.labelled = now;
    const last = this.data[0].length - 1;
    const parts = this.spec.series.map((series, i) =>
      `${series.label} ${this.spec.value(this.data[i + 1][last] ?? 0)}`);
    const minutes = format.span(this.to - this.from);
    this.box.setAttribute("aria-label",
      `${this.spec.title}: now ${parts.join(", ")}; at most ${this.spec.value(this.most)} within ${minutes}.`);
  }

  redraw() {
    if (!this.plot) return;
    if (window.uPlot) this.plot.redraw();
    else this.plot.draw();
  }
}

export function fitDecimal(most, least) {
  return roundUp(most * 1.05, least);
}

export function fitBytes(most, least) {
  let unit = 1;
  while (Math.max(most * 1.1, least) / unit >= 1000) unit *= 1024;
  const [top, parts] = roundUp(most * 1.1 / unit, least / unit);
  return [top * unit, parts];
}

// Handshake times

function quantile(counts, share) {
  const all = counts.reduce((a, b) => a + b, 0);
  let sum = 0;
  for (let i = 0; i < counts.length; i++) {
    sum += counts[i];
    if (sum >= all * share) return i;
  }
  return counts.length - 1;
}

export class Histogram {
  constructor(place) {
    this.columns = document.createElement("div");
    this.columns.className = "columns";
    this.columns.setAttribute("role", "img");
    this.note = document.createElement("p");
    this.note.className = "note";
    place.append(this.columns, this.note);
    this.shown = "";
  }

  update(durations) {
    const counts = durations.initiator.map((n, i) => n + durations.responder[i]);
    const key = counts.join();
    if (key === this.shown) return;
    this.shown = key;
    const all = counts.reduce((a, b) => a + b, 0);
    const first = Math.max(0, Math.min(counts.findIndex(n => n > 0) - 2, counts.length - 8));
    const last = Math.min(counts.length - 1, Math.max(counts.findLastIndex(n => n > 0) + 2, first + 7));
    const most = Math.max(1, ...counts);
    const bound = i => i < durations.upper_us.length ? `≤ ${format.micros(durations.upper_us[i])}` : "more";
    const words = [];
    this.columns.replaceChildren();
    for (let i = all > 0 ? first : 4; i <= (all > 0 ? last : 11); i++) {
      const column = document.createElement("div");
      const number = document.createElement("span"), bar = document.createElement("i"), label = document.createElement("small");
      number.textContent = counts[i] > 0 ? format.count(counts[i]) : "";
      bar.style.setProperty("--share", counts[i] / most);
      label.textContent = i < durations.upper_us.length ? format.micros(durations.upper_us[i]) : "more";
      column.append(number, bar, label);
      this.columns.append(column);
      if (counts[i] > 0) words.push(`${format.count(counts[i])} ${bound(i)}`);
    }
    this.columns.setAttribute("aria-label", all > 0 ? `Handshakes by time: ${words.join("; ")}` : "No handshakes yet");
    this.note.textContent = all === 0 ? "No handshakes yet." :
      `${format.plural(all, "handshake")}; half took ${bound(quantile(counts, 0.5))}, 99 of 100 ${bound(quantile(counts, 0.99))}.`;
  }
}

// Drops

const MOST_REASONS = 6;

export class Drops {
  constructor(place, meanings) {
    this.list = document.createElement("ul");
    this.list.className = "drops";
    this.note = document.createElement("p");
    this.note.className = "note";
    place.append(this.list, this.note);
    this.meanings = meanings;
    this.rows = [];
  }

  update(drops, rates) {
    const found = Object.entries(drops).filter(([, number]) => number > 0).sort((a, b) => b[1] - a[1]);
    const shown = found.slice(0, MOST_REASONS);
    const most = shown.length > 0 ? shown[0][1] : 1;
    while (this.rows.length < shown.length) this.rows.push(this.row());
    while (this.rows.length > shown.length) this.rows.pop().item.remove();
    shown.forEach(([reason, number], i) => {
      const row = this.rows[i], speed = rates.get(reason) || 0;
      row.name.textContent = reason;
      row.number.textContent = format.count(number) + (speed >= 0.05 ? ` (+${format.short(speed)}/s)` : "");
      row.item.classList.toggle("growing", speed >= 0.05);
      row.meaning.textContent = this.meanings.get(reason) || "";
      row.bar.style.setProperty("--share", number / most);
    });
    const rest = found.length - shown.length;
    const text = found.length === 0 ? "Nothing was dropped." :
      rest > 0 ? `and ${format.plural(rest, "more reason")}.` : "Since the node started.";
    if (this.note.textContent !== text) this.note.textContent = text;
  }

  row() {
    const make = (name, parent) => parent.appendChild(document.createElement(name));
    const item = make("li", this.list);
    const head = make("div", item);
    const name = make("code", head), number = make("b", head);
    const bar = make("i", item), meaning = make("span", item);
    meaning.className = "note";
    return {item, name, number, bar, meaning};
  }
}
