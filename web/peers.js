// The table of peers: search, sort by any column, pages of rows, one of which can be opened.

import * as format from "./format.js";

const ROWS_PER_PAGE = 50;
const ORDER = {trouble: 0, connecting: 1, connected: 2, idle: 3};
const NEVER = Number.MAX_SAFE_INTEGER;

const collator = new Intl.Collator("en", {numeric: true, sensitivity: "base"});

function age(peer) {
  return peer.raw.session ? peer.raw.session.age_secs : NEVER;
}

/** down: the first click shows the greatest first. */
const COLUMNS = [
  {key: "name", title: "Name", compare: (a, b) => collator.compare(a.name, b.name)},
  {key: "state", title: "State", compare: (a, b) => ORDER[a.state] - ORDER[b.state]},
  {key: "rx", title: "Receiving", number: true, down: true, compare: (a, b) => a.rates.rx - b.rates.rx},
  {key: "tx", title: "Sending", number: true, down: true, compare: (a, b) => a.rates.tx - b.rates.tx},
  {key: "received", title: "Received", number: true, down: true, compare: (a, b) => a.raw.rx_bytes - b.raw.rx_bytes},
  {key: "sent", title: "Sent", number: true, down: true, compare: (a, b) => a.raw.tx_bytes - b.raw.tx_bytes},
  {key: "keys", title: "Keys", compare: (a, b) => age(a) - age(b)},
  {key: "address", title: "Address", compare: (a, b) => collator.compare(a.raw.endpoint, b.raw.endpoint)},
];

function make(name, parent, className = "", text = "") {
  const element = parent.appendChild(document.createElement(name));
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Text in which what stands between backquotes is a command. */
export function setWords(element, text) {
  if (element.dataset.words === text) return;
  element.dataset.words = text;
  element.replaceChildren(...text.split("`").map((part, i) => {
    if (i % 2 === 0) return document.createTextNode(part);
    const code = document.createElement("code");
    code.textContent = part;
    return code;
  }));
}

export class Peers {
  /** parts: the elements of the page by name. */
  constructor(parts) {
    this.parts = parts;
    this.sort = {key: "state", reverse: false};
    this.page = 0;
    this.open = null;           // the ID of the peer whose details are shown
    this.rows = [];
    this.order = [];
    this.model = null;
    this.makeHead();
    this.listen();
  }

  makeHead() {
    this.heads = COLUMNS.map(column => {
      const head = make("th", this.parts["peers-head"], column.number ? "num" : "");
      head.scope = "col";
      head.setAttribute("role", "columnheader");
      const button = make("button", head, "", column.title);
      button.type = "button";
      make("span", button, "arrow").ariaHidden = "true";
      button.addEventListener("click", () => this.sortBy(column));
      const option = make("option", this.parts.sort, "", column.title);
      option.value = column.key;
      return head;
    });
    this.showSort();
  }

  listen() {
    const renew = () => {
      this.page = 0;
      this.render(true);
    };
    this.parts.search.addEventListener("input", renew);
    this.parts.states.addEventListener("change", renew);
    this.parts.sort.addEventListener("change", () => {
      const column = COLUMNS.find(one => one.key === this.parts.sort.value);
      this.sort = {key: column.key, reverse: Boolean(column.down)};
      this.showSort();
      renew();
    });
    this.parts.direction.addEventListener("click", () => {
      this.sort.reverse = !this.sort.reverse;
      this.showSort();
      renew();
    });
    this.parts["page-back"].addEventListener("click", () => this.turn(-1));
    this.parts["page-on"].addEventListener("click", () => this.turn(1));
  }

  turn(by) {
    this.page += by;
    this.render(true);
    this.parts.peers.scrollIntoView({block: "start"});
  }

  sortBy(column) {
    const again = this.sort.key === column.key;
    this.sort = {key: column.key, reverse: again ? !this.sort.reverse : Boolean(column.down)};
    this.page = 0;
    this.showSort();
    this.render(true);
  }

  showSort() {
    COLUMNS.forEach((column, i) => {
      const sorted = column.key === this.sort.key;
      const head = this.heads[i];
      head.setAttribute("aria-sort", !sorted ? "none" : this.sort.reverse ? "descending" : "ascending");
      head.querySelector(".arrow").textContent = !sorted ? "" : this.sort.reverse ? " ▾" : " ▴";
    });
    this.parts.sort.value = this.sort.key;
  }

  update(model) {
    this.model = model;
    this.render(false);
  }

  /** The peers that are wanted, in order. */
  wanted() {
    const words = this.parts.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const state = this.parts.states.querySelector("input:checked").value;
    const column = COLUMNS.find(one => one.key === this.sort.key);
    const sign = this.sort.reverse ? -1 : 1;
    return this.model.peers
      .filter(peer => (state === "" || peer.state === state) && words.every(word => peer.text.includes(word)))
      .map((peer, i) => [peer, i])
      .sort(([a, i], [b, j]) => sign * column.compare(a, b) || collator.compare(a.name, b.name) || i - j)
      .map(([peer]) => peer);
  }

  /** Nothing moves away under a pointer or a focus: while one is in the rows, they keep their order. */
  isHeld() {
    const body = this.parts["peers-body"];
    return body.contains(document.activeElement) || body.matches(":hover");
  }

  render(anew) {
    if (!this.model) return;
    const peers = this.wanted();
    const pages = Math.max(1, Math.ceil(peers.length / ROWS_PER_PAGE));
    this.page = Math.max(0, Math.min(this.page, pages - 1));
    const first = this.page * ROWS_PER_PAGE;
    let shown = peers.slice(first, first + ROWS_PER_PAGE);
    if (!anew && this.isHeld()) {
      const still = this.order.map(id => this.model.byId.get(id));
      if (still.every(Boolean)) shown = still;
    }
    this.order = shown.map(peer => peer.id);
    while (this.rows.length < shown.length) this.rows.push(this.makeRow());
    while (this.rows.length > shown.length) this.rows.pop().remove();
    shown.forEach((peer, i) => this.rows[i].show(peer, this.open === peer.id));
    this.showCount(peers.length, first, shown.length, pages);
  }

  showCount(number, first, shown, pages) {
    const all = this.model.peers.length;
    const which = number === all ? format.plural(all, "peer") : `${format.count(number)} of ${format.plural(all, "peer")}`;
    setText(this.parts["peers-count"], all === 0 ? "No peers are configured." :
      number === 0 ? "No peer matches." :
        pages > 1 ? `${format.count(first + 1)} to ${format.count(first + shown)} of ${which}` : which);
    const nav = this.parts.pages;
    nav.hidden = pages === 1;
    setText(this.parts["page-text"], `Page ${this.page + 1} of ${pages}`);
    this.parts["page-back"].disabled = this.page === 0;
    this.parts["page-on"].disabled = this.page === pages - 1;
  }

  makeRow() {
    return new Row(this.parts["peers-body"], id => {
      this.open = this.open === id ? null : id;
      this.render(false);
    });
  }
}

class Row {
  constructor(body, toggle) {
    this.body = body;
    this.line = make("tr", body);
    this.line.setAttribute("role", "row");
    const cell = (column, name = "td") => {
      const element = make(name, this.line, column.number ? `num c-${column.key}` : `c-${column.key}`);
      element.dataset.title = column.title;
      element.setAttribute("role", name === "th" ? "rowheader" : "cell");
      return element;
    };
    const [name, state, rx, tx, received, sent, keys, address] = COLUMNS.map((c, i) => cell(c, i === 0 ? "th" : "td"));
    name.scope = "row";
    this.button = make("button", name);
    this.button.type = "button";
    this.button.addEventListener("click", () => toggle(this.peer.id));
    this.dot = make("span", this.button, "dot");
    this.dot.ariaHidden = "true";
    this.name = make("span", this.button, "name");
    this.words = make("span", state);
    this.bar = make("div", keys, "key-bar");
    this.bar.ariaHidden = "true";
    this.rest = make("i", this.bar);
    this.age = make("span", keys);
    Object.assign(this, {rx, tx, received, sent, address, details: null});
  }

  remove() {
    this.line.remove();
    if (this.details) this.details.remove();
  }

  show(peer, open) {
    const session = peer.raw.session;
    this.peer = peer;
    this.line.dataset.state = peer.state;
    this.dot.className = `dot ${peer.state}`;
    setText(this.name, peer.name);
    this.button.setAttribute("aria-expanded", String(open));
    setWords(this.words, peer.raw.explanation);
    setText(this.rx, peer.rates.rx > 0 ? format.rate(peer.rates.rx) : "–");
    setText(this.tx, peer.rates.tx > 0 ? format.rate(peer.rates.tx) : "–");
    setText(this.received, format.bytes(peer.raw.rx_bytes));
    setText(this.sent, format.bytes(peer.raw.tx_bytes));
    setText(this.age, session ? `${format.span(session.age_secs)} old` : "none");
    setText(this.address, peer.raw.endpoint || "not known");
    this.bar.hidden = !session;
    if (session)
      this.rest.style.setProperty("--share", session.rotate_in_secs / Math.max(1, session.age_secs + session.rotate_in_secs));
    this.showDetails(peer, open);
  }

  showDetails(peer, open) {
    if (!open) {
      if (this.details) this.details.remove();
      this.details = null;
      return;
    }
    if (!this.details) {
      this.details = document.createElement("tr");
      this.details.className = "details";
      this.details.setAttribute("role", "row");
      const cell = make("td", this.details);
      cell.colSpan = COLUMNS.length;
      cell.setAttribute("role", "cell");
      this.facts = make("dl", cell, "facts");
    }
    if (this.line.nextSibling !== this.details) this.line.after(this.details);
    const facts = factsOf(peer.raw);
    if (this.facts.childElementCount !== facts.length) {
      this.facts.replaceChildren();
      for (let i = 0; i < facts.length; i++) {
        const pair = make("div", this.facts);
        make("dt", pair);
        make("dd", pair);
      }
    }
    facts.forEach(([term, text], i) => {
      const [dt, dd] = this.facts.children[i].children;
      setText(dt, term);
      setText(dd, text);
    });
  }
}

function factsOf(raw) {
  const session = raw.session;
  const latest = raw.latest_handshake === 0 ? "never" :
    `${format.span(raw.latest_handshake_secs)} ago, took ${format.micros(raw.handshake_duration_us)}`;
  return [
    ["Peer ID", raw.peer_id],
    ["Allowed IPs", raw.allowed_ips.join(", ") || "none"],
    ["Endpoint in the configuration", raw.configured_endpoint || "none"],
    ["Latest handshake", latest],
    ["Handshakes", `${format.count(raw.initiated)} begun here, ${format.count(raw.responded)} there, ${format.count(raw.failed)} failed`],
    ["Rotations", format.count(raw.rotations)],
    ["Suite", session ? session.suite : "none"],
    ["Session", session ? session.id : "none"],
    ["Pre-shared key", raw.has_psk ? "yes" : "no"],
    ["Packets", `${format.count(raw.rx_packets)} received, ${format.count(raw.tx_packets)} sent, ${format.count(raw.num_staged)} waiting`],
    ["Keepalive", raw.persistent_keepalive > 0 ? `every ${format.span(raw.persistent_keepalive)}` : "off"],
    ["Last problem", raw.last_drop === "none" ? "none" : `${raw.last_drop}, ${format.span(raw.last_drop_secs)} ago`],
  ];
}
