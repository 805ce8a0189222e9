// The live page: asks the server for the status again and again and shows it. Whatever comes from there is put into the
// page as text, never as HTML.

import {Chart, Drops, Histogram, fitBytes, fitDecimal} from "./charts.js";
import * as format from "./format.js";
import {Keys} from "./keys.js";
import {Model} from "./model.js";
import {Peers, setWords} from "./peers.js";

const INTERVAL_MS = 1000;
const HIDDEN_INTERVAL_MS = 10000;
const TIMEOUT_MS = 8000;
const REST_SHARE = 12;          // of the time that a request took, so that many peers do not keep the server busy
const FAILURES_TOLD = 2;
const ANNOUNCE_MS = 10000;
const TOKEN = "cryprq.token";

class Refused extends Error {}

const app = document.getElementById("app");
const model = new Model();
const parts = {};
let page = null;                // what is on it, once it is live
let token = sessionStorage.getItem(TOKEN);
let paused = false;
let failures = 0;
let lastAnswer = 0;
let timer = 0;

// The server

async function fetchStatus() {
  const headers = {Accept: "application/json"};
  if (token) headers.Authorization = `Bearer ${token}`;
  const answer = await fetch("api/v1/status", {
    headers, cache: "no-store", credentials: "omit", redirect: "error", signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  if (answer.status === 401) throw new Refused();
  if (!answer.ok) throw new Error((await answer.text()).trim() || `the server says ${answer.status}`);
  return answer.json();
}

function explain(error) {
  if (error.name === "TimeoutError") return "no answer in time";
  return error instanceof TypeError ? "the server cannot be reached; is the interface still up?" : error.message;
}

async function poll() {
  clearTimeout(timer);
  const begun = performance.now();
  try {
    const status = await fetchStatus();
    failures = 0;
    lastAnswer = Date.now();
    if (model.take(status)) show();
  } catch (error) {
    if (error instanceof Refused) {
      askForToken(token ? "The server does not know this token." : "");
      return;
    }
    failures++;
    console.warn(error);
    showFailure(explain(error));
  }
  const took = performance.now() - begun;
  const least = document.hidden ? HIDDEN_INTERVAL_MS : INTERVAL_MS;
  if (!paused) timer = setTimeout(poll, Math.max(least - took, failures > 0 ? INTERVAL_MS : 0, took * REST_SHARE));
}

// Signing in

function askForToken(problem) {
  token = null;
  sessionStorage.removeItem(TOKEN);
  page = null;
  const main = document.createElement("main");
  main.className = "locked";
  const title = document.createElement("h1");
  title.textContent = "CrypRQ";
  main.append(title, document.getElementById("sign-in").content.cloneNode(true));
  app.replaceChildren(main);
  const field = main.querySelector("#token"), form = main.querySelector("form");
  main.querySelector("#sign-in-error").textContent = problem;
  field.focus();
  form.addEventListener("submit", event => {
    event.preventDefault();
    token = field.value.trim();
    sessionStorage.setItem(TOKEN, token);
    poll();
  });
}

function signOut() {
  clearTimeout(timer);
  askForToken("");
}

// The page

function rateChart(name, title) {
  return new Chart(parts[name], {
    title, least: 1e5, fit: fitDecimal, value: format.rate, axis: value => format.trim(format.rate(value)),
    series: [{label: "Receiving", colour: "--rx"}, {label: "Sending", colour: "--tx"}],
  });
}

function makeCharts() {
  return {
    throughput: rateChart("chart-throughput", "Throughput"),
    packets: new Chart(parts["chart-packets"], {
      title: "Packets per second", least: 10, fit: fitDecimal, value: n => `${format.count(n)}/s`, axis: format.short,
      series: [{label: "In", colour: "--rx"}, {label: "Out", colour: "--tx"}],
    }),
    cpu: new Chart(parts["chart-cpu"], {
      title: "Processor time of the node", least: 0.1, fit: fitDecimal, value: format.percent,
      axis: value => `${Math.round(value * 100)} %`, series: [{label: "Processor", colour: "--cpu"}],
    }),
    memory: new Chart(parts["chart-memory"], {
      title: "Memory of the node", least: 1 << 20, fit: fitBytes, value: format.bytes,
      axis: value => format.trim(format.bytes(value)), series: [{label: "Memory", colour: "--memory"}],
    }),
  };
}

function meanings() {
  const terms = document.getElementById("reasons").content.querySelectorAll("dt");
  return new Map([...terms].map(term => [term.textContent, term.nextElementSibling.textContent]));
}

function makePage() {
  const footer = document.querySelector("footer");
  app.replaceChildren(document.getElementById("live").content.cloneNode(true));
  for (const element of app.querySelectorAll("[data-is]")) parts[element.dataset.is] = element;
  parts.peers = document.getElementById("peers");
  if (footer) parts.footer.append(...footer.childNodes);
  app.dataset.state = "live";
  parts["sign-out"].hidden = !token;
  parts["sign-out"].addEventListener("click", signOut);
  parts.pause.addEventListener("click", togglePause);
  parts.windows.addEventListener("change", show);
  page = {
    charts: makeCharts(),
    histogram: new Histogram(parts.histogram),
    drops: new Drops(parts.drops, meanings()),
    keys: new Keys(parts.keys, parts["keys-note"]),
    peers: new Peers(parts),
    announced: 0,
    told: "",
  };
}

function togglePause() {
  paused = !paused;
  parts.pause.setAttribute("aria-pressed", String(paused));
  setText("pause", paused ? "Go on" : "Pause");
  setPulse();
  if (!paused) poll();
  else clearTimeout(timer);
}

function setText(name, text) {
  if (parts[name].textContent !== text) parts[name].textContent = text;
}

function setPulse() {
  const failing = failures >= FAILURES_TOLD;
  parts.pulse.dataset.pulse = failing ? "lost" : paused ? "paused" : "live";
  setText("pulse-text", failing ? "No answer" : paused ? "Paused" : "Live");
}

function showFailure(reason) {
  if (failures < FAILURES_TOLD || !page) return;
  setPulse();
  parts.banner.hidden = false;
  setText("banner", `No state since ${new Date(lastAnswer).toLocaleTimeString("en-GB")}: ${reason}. Trying again.`);
}

/** [headline, what is below it, "well" or "trouble"] */
function headline() {
  const {states} = model.totals, all = model.peers.length;
  if (all === 0) return ["No peers are configured.", "", "quiet"];
  const below = `${format.plural(all, "peer")}: ${["connected", "connecting", "idle"].filter(s => states[s] > 0)
    .map(s => `${format.count(states[s])} ${s}`).concat(states.trouble > 0 ? [`${format.count(states.trouble)} in trouble`] : []).join(", ")}`;
  if (states.trouble === 1) {
    const peer = model.peers.find(one => one.state === "trouble");
    return [`${peer.name} has trouble.`, peer.raw.explanation, "trouble"];
  }
  if (states.trouble > 0) return [`${format.count(states.trouble)} of ${format.plural(all, "peer")} have trouble.`, below, "trouble"];
  if (states.connected === all) return [all === 1 ? `${model.peers[0].name} is connected.` : "Everything is connected.", all === 1 ? model.peers[0].raw.explanation : below, "well"];
  if (states.connected === 0) return [states.connecting > 0 ? "Connecting." : "Nobody is connected.", all === 1 ? model.peers[0].raw.explanation : below, "quiet"];
  return [`${format.count(states.connected)} of ${format.plural(all, "peer")} connected.`, below, "well"];
}

function showTile(name, [value, unit], note) {
  const place = parts[`tile-${name}`];
  if (place.childElementCount === 0) place.append(document.createElement("b"), " ", document.createElement("small"));
  if (place.children[0].textContent !== value) place.children[0].textContent = value;
  if (place.children[1].textContent !== unit) place.children[1].textContent = unit;
  setText(`tile-${name}-note`, note);
}

/** Of the latest handshakes of all peers. */
function median() {
  const taken = model.peers.filter(p => p.raw.latest_handshake > 0).map(p => p.raw.handshake_duration_us).sort((a, b) => a - b);
  return taken.length > 0 ? taken[Math.floor(taken.length / 2)] : null;
}

function showTiles() {
  const rates = model.rates, {totals, status} = model;
  const handshake = median();
  showTile("rx", rates ? format.rateParts(rates.rx) : ["–", ""], `${format.bytes(totals.rx)} in all`);
  showTile("tx", rates ? format.rateParts(rates.tx) : ["–", ""], `${format.bytes(totals.tx)} in all`);
  showTile("packets", rates ? [format.count(rates.rxPackets + rates.txPackets), "/s"] : ["–", ""], "in and out");
  showTile("handshake", handshake === null ? ["–", ""] : format.microsParts(handshake),
    model.peers.length > 1 ? "latest ones, median" : "the latest one");
  const cpu = model.cpu;
  showTile("cpu", cpu === null ? ["–", ""] : format.percent(cpu).split(" "), "of one core");
  showTile("memory", model.memory === null ? ["–", ""] : format.bytesParts(model.memory), `${format.plural(status.keys_erased, "session")} erased`);
}

function showCharts() {
  const h = model.history;
  if (h.time.length === 0) return;
  const seconds = Number(parts.windows.querySelector("input:checked").value);
  page.charts.throughput.update([h.time, h.rx, h.tx], model.now, seconds);
  page.charts.packets.update([h.time, h.rxPackets, h.txPackets], model.now, seconds);
  page.charts.cpu.update([h.time, h.cpu], model.now, seconds);
  page.charts.memory.update([h.time, h.memory], model.now, seconds);
}

/** Tells changes of the state to who listens, and not more often than is bearable. */
function announce(text) {
  const now = performance.now();
  if (text === page.told || (page.told !== "" && now - page.announced < ANNOUNCE_MS)) return;
  page.told = text;
  page.announced = now;
  setText("announcer", text);
}

function show() {
  if (!model.status) return;
  if (!page) makePage();
  const {status} = model;
  const [text, below, mood] = headline();
  setPulse();
  parts.banner.hidden = true;
  setText("interface", status.interface);
  document.title = `${mood === "trouble" ? "(!) " : ""}${status.interface} - CrypRQ`;
  setText("facts", `Up ${format.span(status.uptime_secs)} · UDP ${status.listen_port} · MTU ${status.mtu}` +
    (status.under_load ? " · under load: sources must prove themselves" : ""));
  setText("headline", text);
  parts.headline.dataset.mood = mood;
  setWords(parts.subline, below);
  announce(text);
  showTiles();
  showCharts();
  page.histogram.update(status.handshake_durations);
  page.drops.update(status.drops, model.dropRates);
  page.keys.update(model);
  page.peers.update(model);
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && !paused && page) poll();
});
for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)"])
  matchMedia(query).addEventListener("change", () => {
    if (page) Object.values(page.charts).forEach(chart => chart.redraw());
  });
if (app.dataset.state === "locked" && !token) askForToken("");
else poll();
