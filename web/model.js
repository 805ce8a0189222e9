// What is known of the node: the newest status, and what was computed and kept of those before it.

export const KEPT_SECONDS = 900;
const MOST_POINTS = 1200;
const REMEMBERED_SESSIONS = 12;

function growth(before, now) {
  return now >= before ? now - before : 0;
}

export class Model {
  constructor() {
    this.status = null;
    this.peers = [];            // of the newest status, with what was computed
    this.byId = new Map();
    this.dropRates = new Map();
    this.reset();
  }

  reset() {
    this.history = {time: [], rx: [], tx: [], rxPackets: [], txPackets: [], cpu: [], memory: []};
    this.rates = null;
  }

  /** Takes a status as the server gives it; the times of everything are the node's. */
  take(status) {
    const before = this.status;
    const restarted = before && (status.uptime_ms < before.uptime_ms || status.peer_id !== before.peer_id);
    const seconds = before && !restarted ? (status.uptime_ms - before.uptime_ms) / 1000 : 0;
    if (before && !restarted && seconds < 0.05) return false;      // the server's answer of before
    if (restarted) this.reset();
    this.status = status;
    this.now = status.time_ms / 1000;
    this.takePeers(seconds);
    this.takeDrops(restarted ? null : before, seconds);
    this.takeFigures(restarted ? null : before, seconds);
    return true;
  }

  takePeers(seconds) {
    const byId = new Map();
    const sum = {rx: 0, tx: 0, rxPackets: 0, txPackets: 0};
    this.totals = {rx: 0, tx: 0, rotations: 0, failed: 0, states: {connected: 0, connecting: 0, idle: 0, trouble: 0}};
    this.peers = this.status.peers.map(raw => {
      const peer = this.onePeer(raw, seconds);
      byId.set(peer.id, peer);
      for (const what of Object.keys(sum)) sum[what] += peer.rates[what];
      this.totals.rx += raw.rx_bytes;
      this.totals.tx += raw.tx_bytes;
      this.totals.rotations += raw.rotations;
      this.totals.failed += raw.failed;
      this.totals.states[peer.state]++;
      return peer;
    });
    this.byId = byId;
    this.rates = seconds > 0 ? sum : null;
  }

  onePeer(raw, seconds) {
    const old = this.byId.get(raw.peer_id);
    const rates = {rx: 0, tx: 0, rxPackets: 0, txPackets: 0};
    if (old && seconds > 0) {
      rates.rx = 8 * growth(old.raw.rx_bytes, raw.rx_bytes) / seconds;       // bits
      rates.tx = 8 * growth(old.raw.tx_bytes, raw.tx_bytes) / seconds;
      rates.rxPackets = growth(old.raw.rx_packets, raw.rx_packets) / seconds;
      rates.txPackets = growth(old.raw.tx_packets, raw.tx_packets) / seconds;
    }
    const sessions = this.sessionsOf(old, raw);
    return {
      id: raw.peer_id, raw, rates, sessions,
      name: raw.name || `${raw.peer_id.slice(0, 12)}…`,
      state: raw.state in this.totals.states ? raw.state : "idle",
      busy: 0.8 * (old ? old.busy : 0) + rates.rx + rates.tx,
      text: `${raw.name}\n${raw.peer_id}\n${raw.endpoint}\n${raw.allowed_ips.join(" ")}\n${raw.state}`.toLowerCase(),
    };
  }

  /** The peer's sessions that were seen, oldest first: {id, from, life, until}; until is null for the present one. */
  sessionsOf(old, raw) {
    const sessions = old ? old.sessions : [];
    const last = sessions[sessions.length - 1];
    const present = raw.session;
    if (last && last.until === null && (!present || present.id !== last.id))
      last.until = present ? this.now - present.age_secs : this.now;
    if (present && (!last || last.id !== present.id)) {
      const life = Math.max(present.age_secs + present.rotate_in_secs, 1);
      sessions.push({id: present.id, from: this.now - present.age_secs, life, until: null});
      if (sessions.length > REMEMBERED_SESSIONS) sessions.shift();
    }
    return sessions;
  }

  takeDrops(before, seconds) {
    this.dropRates = new Map();
    for (const [reason, number] of Object.entries(this.status.drops))
      if (before && seconds > 0)
        this.dropRates.set(reason, growth(before.drops[reason] || 0, number) / seconds);
  }

  takeFigures(before, seconds) {
    const node = this.processOf(this.status, "node"), old = before && this.processOf(before, "node");
    this.memory = node ? node.resident_bytes : null;
    this.cpu = node && old && seconds > 0 ? growth(old.cpu_ms, node.cpu_ms) / 1000 / seconds : null;
    if (this.rates === null) return;
    const h = this.history;
    // A pause is a gap, not a line across.
    const gap = h.time.length > 0 && seconds > 15;
    if (gap) this.point(this.now - seconds + 0.001, null, null);
    this.point(this.now, this.rates, this.cpu);
  }

  point(time, rates, cpu) {
    const h = this.history;
    h.time.push(time);
    for (const what of ["rx", "tx", "rxPackets", "txPackets"]) h[what].push(rates ? rates[what] : null);
    h.cpu.push(rates ? cpu : null);
    h.memory.push(rates ? this.memory : null);
    while (h.time.length > MOST_POINTS || h.time[0] < this.now - KEPT_SECONDS - 5)
      for (const list of Object.values(h)) list.shift();
  }

  processOf(status, name) {
    return (status.processes || []).find(p => p.name === name);
  }
}
