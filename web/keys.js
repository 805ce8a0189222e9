// Keys on a time line: how much of their life is left, falling, and up again at every rotation.

import * as format from "./format.js";
import {KEPT_SECONDS} from "./model.js";

const MOST_ROWS = 5;
const LEAST_SECONDS = 120;
const WIDTH = 900, HEIGHT = 40, TOP = 3;
const SVG = "http://www.w3.org/2000/svg";

function make(name, parent, attributes = {}) {
  const element = parent.appendChild(document.createElementNS(SVG, name));
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function html(name, parent, className = "") {
  const element = parent.appendChild(document.createElement(name));
  if (className) element.className = className;
  return element;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export class Keys {
  constructor(place, note) {
    this.place = place;
    this.note = note;
    this.rows = [];
    this.chosen = [];
  }

  /** The busiest peers, in the order of the configuration; who is shown stays as long as it has keys. */
  choose(model) {
    const held = model.peers.filter(peer => peer.sessions.length > 0);
    if (held.length <= MOST_ROWS) return held;
    const stay = this.chosen.map(id => model.byId.get(id)).filter(peer => peer && peer.raw.session);
    const others = held.filter(peer => peer.raw.session && !stay.includes(peer)).sort((a, b) => b.busy - a.busy);
    return [...stay, ...others].slice(0, MOST_ROWS);
  }

  update(model) {
    const shown = this.choose(model);
    this.chosen = shown.map(peer => peer.id);
    while (this.rows.length < shown.length) this.rows.push(this.row());
    while (this.rows.length > shown.length) this.rows.pop().item.remove();
    const first = Math.min(...shown.map(peer => peer.sessions[0].from));
    this.seconds = Math.max(LEAST_SECONDS, Math.min(KEPT_SECONDS, model.now - first));
    shown.forEach((peer, i) => this.updateRow(this.rows[i], peer, model.now));
    const held = model.totals.states.connected;
    const every = `None is used for longer than ${format.span(model.status.rotate_secs)}; each rotation is a complete handshake. The line falls as their life runs out.`;
    setText(this.note, shown.length === 0 ? "No keys yet: they come with the first handshake." :
      held > shown.length ? `${every} ${shown.length} of ${format.count(held)} peers are shown.` : every);
  }

  row() {
    const item = html("div", this.place, "key-row");
    const name = html("div", item, "key-name");
    const strip = html("div", item, "key-strip");
    const svg = make("svg", strip, {viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true"});
    const fill = make("path", svg, {class: "key-fill"}), line = make("path", svg, {class: "key-line"});
    const marks = make("path", svg, {class: "key-marks"});
    const now = html("div", item, "key-now");
    const bar = html("div", now, "key-bar");
    bar.ariaHidden = "true";
    const rest = html("i", bar), text = html("span", now);
    return {item, name, fill, line, marks, rest, text};
  }

  updateRow(row, peer, now) {
    const session = peer.raw.session;
    const from = now - this.seconds;
    const x = time => ((Math.max(time, from) - from) / this.seconds * WIDTH).toFixed(1);
    const y = left => (TOP + (1 - Math.max(0, Math.min(1, left))) * (HEIGHT - TOP)).toFixed(1);
    let line = "", fill = "", marks = "";
    for (const one of peer.sessions) {
      const end = one.until ?? now;
      if (end < from) continue;
      const begin = Math.max(one.from, from);
      const left = time => 1 - (time - one.from) / one.life;
      const zero = Math.min(end, one.from + one.life);
      const way = `${x(begin)},${y(left(begin))} L${x(zero)},${y(left(zero))} L${x(end)},${y(left(end))}`;
      line += `M${way}`;
      fill += `M${x(begin)},${HEIGHT} L${way} L${x(end)},${HEIGHT}Z`;
      if (one.from > from) marks += `M${x(one.from)},${HEIGHT}V0`;
    }
    row.line.setAttribute("d", line);
    row.fill.setAttribute("d", fill);
    row.marks.setAttribute("d", marks);
    setText(row.name, peer.name);
    row.name.title = peer.raw.name ? peer.id : "";
    const life = session ? Math.max(session.age_secs + session.rotate_in_secs, 1) : 1;
    row.rest.style.setProperty("--share", session ? session.rotate_in_secs / life : 0);
    row.item.classList.toggle("due", Boolean(session) && session.rotate_in_secs === 0);
    setText(row.text, !session ? "no keys" :
      session.rotate_in_secs > 0 ? `rotates in ${format.clock(session.rotate_in_secs)}` : "rotates with the next packet");
  }
}
