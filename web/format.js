// Numbers as people read them. Pure functions.

const whole = new Intl.NumberFormat("en", {maximumFractionDigits: 0});

function digits(value) {
  return value >= 99.95 || value === 0 ? value.toFixed(0) : value >= 9.995 ? value.toFixed(1) : value.toFixed(2);
}

function scaled(value, base, units) {
  let unit = 0;
  while (value >= base * 0.9995 && unit + 1 < units.length) {
    value /= base;
    unit++;
  }
  return [unit === 0 ? whole.format(value) : digits(value), units[unit]];
}

const RATES = ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"];
const BYTES = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** ["941", "Mbit/s"] */
export function rateParts(bitsPerSecond) {
  return scaled(bitsPerSecond, 1000, RATES);
}

export function rate(bitsPerSecond) {
  return rateParts(bitsPerSecond).join(" ");
}

export function bytesParts(bytes) {
  return scaled(bytes, 1024, BYTES);
}

export function bytes(count) {
  return bytesParts(count).join(" ");
}

/** Without zeros after the point: "5.00 MiB" is "5 MiB". */
export function trim(text) {
  return text.replace(/(\.\d*?)0+ /, "$1 ").replace(". ", " ");
}

export function count(number) {
  return whole.format(Math.round(number));
}

/** "82.4 k", for axes. */
export function short(number) {
  const [text, unit] = scaled(number, 1000, ["", "k", "M", "G"]);
  return unit === "" ? text : `${Number(text)} ${unit}`;
}

export function percent(share) {
  return `${(share * 100).toFixed(share < 0.0995 ? 1 : 0)} %`;
}

/** ["2.35", "ms"] */
export function microsParts(micros) {
  return scaled(micros, 1000, ["µs", "ms", "s"]);
}

export function micros(value) {
  const [text, unit] = microsParts(value);
  return `${Number(text)} ${unit}`;
}

/** "40 s", "2 min", "3 h 12 min", "5 d 3 h" */
export function span(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  const minutes = Math.floor(s / 60), hours = Math.floor(minutes / 60), days = Math.floor(hours / 24);
  if (s < 90) return `${s} s`;
  if (minutes < 60) return `${minutes} min`;
  return hours < 24 ? `${hours} h ${minutes % 60} min` : `${days} d ${hours % 24} h`;
}

/** "4:05", for what counts down. */
export function clock(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  return s >= 3600 ? span(s) : `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`;
}

/** "1 peer", "2 peers" */
export function plural(number, noun) {
  return `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
}
