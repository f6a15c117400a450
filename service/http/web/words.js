// Numbers and commands as people read them.

export function bytes(count) {
  if (count < 1000) return `${count} bytes`;
  const [unit, name] = count < 1e6 ? [1e3, "kB"] : [1e6, "MB"];
  const value = count / unit;
  return `${value < 100 ? +value.toFixed(1) : Math.round(value)} ${name}`;
}

export function duration(milliseconds) {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  const seconds = milliseconds / 1000;
  return seconds < 10 ? `${seconds.toFixed(1)} s` : seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
}

export function megapixels(count) {
  return `${+(count / 1e6).toFixed(1)} megapixels`;
}

/** "starry_night-full" -> "Starry Night, full"; "composition_vii" -> "Composition VII" */
export function title(name) {
  const [first, ...rest] = name.split("-");
  const words = first.split("_").map((word) => (/^[ivx]+$/.test(word) ? word.toUpperCase() : capital(word)));
  return [words.join(" "), ...rest].join(", ");
}

function capital(word) {
  return word.charAt(0).toUpperCase() + word.slice(1);
}

export function percent(share) {
  return `${Math.round(share * 100)} %`;
}

export const STAGES = {
  decode: "reading",
  queue: "waiting",
  forward: "network",
  compose: "composing",
  encode: "writing",
};

/** What Server-Timing says: [[stage, milliseconds], ...]. */
export function timings(header) {
  return (header ?? "").split(",").flatMap((part) => {
    const found = /^\s*(\w+);dur=([\d.]+)/.exec(part);
    return found ? [[found[1], Number(found[2])]] : [];
  });
}

/** The same request as a line for a shell; its key stays out of it. */
export function curl(address, name, saved, keyed) {
  const form = /^[\w.+-]+$/.test(name) ? `image=@${name}` : `image=@"${name.replace(/["\\]/g, "\\$&")}"`;
  const key = keyed ? '-H "X-API-Key: $IMPASTO_KEY" ' : "";
  return `curl ${key}-F ${quoted(form)} ${quoted(address)} -o ${quoted(saved)}`;
}

function quoted(text) {
  return /^[\w.+=@/:-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
