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

/** "about 3 minutes left" */
export function remaining(seconds) {
  const minutes = Math.round(seconds / 60);
  return minutes < 1 ? "less than a minute left" : `about ${minutes} minute${minutes > 1 ? "s" : ""} left`;
}

export function megapixels(count) {
  return `${+(count / 1e6).toFixed(count < 1e6 ? 2 : 1)} megapixels`;
}

/** "starry_night-full" -> "Starry Night, full"; "composition_vii" -> "Composition VII" */
export function title(name) {
  const [first, ...rest] = name.split("-");
  const words = first.split("_").map((word) => (/^[ivx]+$/.test(word) ? word.toUpperCase() : capital(word)));
  return [words.join(" "), ...rest].join(", ");
}

/** "Katsushika Hokusai, The Great Wave off Kanagawa (1831, public domain)" -> "Hokusai, 1831". */
export function painter(source) {
  if (/drawn for Impasto/i.test(source)) return "Our drawing";
  const [, artist, year] = /^([^,(]+), .*\(([^,)]+)/.exec(source ?? "") ?? [];
  const when = year?.replace("about ", "c. ");
  return artist ? `${/(?<!\S)(?:\p{Ll}\S*\s+)*\S+$/u.exec(artist)[0]}, ${when}` : (source ?? "");
}

export function capital(word) {
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

/** "JPEG, PNG or WebP" */
export function names(formats) {
  const list = formats.map((each) => ({ webp: "WebP" })[each] ?? each.toUpperCase());
  return `${list.slice(0, -1).join(", ")} or ${list.at(-1)}`;
}

/** What a problem of the server means for a person; `name` is the picture's. */
export function sentence({ code, detail, retry_after_seconds: seconds }, name) {
  const again = seconds ? `Try again in ${seconds} s.` : "Try again in a moment.";
  return {
    unsupported_image: `${name} is not a picture that this server can read.`,
    broken_image: `${name} is damaged: it cannot be read to its end.`,
    too_many_pixels: `${name} is too large for this server with these settings.`,
    too_many_frames: `${name} has more frames than this server takes.`,
    body_too_large: `${name} is too large a file for this server.`,
    overloaded: `The server is busy. ${again}`,
    unavailable: `The server is starting or stopping. ${again}`,
    quota_exceeded: `You have reached the limit of this key. ${again}`,
    deadline_exceeded: "That would take longer than the time that you allow under Advanced.",
    unknown_model: "This style is no longer served. Choose another one.",
    inference_failed: `${name} could not be painted. Try another style.`,
    internal: "Something went wrong on the server. Try again.",
    style_exists: "There is a style of that name. Choose another name.",
    storage_full: "The server's disk is full. Its operator has to make room.",
    too_many_styles: "This server has no room for another style. Discard one first.",
    unsuitable_painting: `${name} is too small, or too long and narrow: a painting needs at least 64 pixels on each side.`,
    no_trainer: "This server cannot learn styles now. Its operator finds the reason in the details.",
    forbidden: "Your key does not allow this.",
    request_timeout: "The connection is too slow, and the upload was given up. Try again.",
  }[code] ?? capital(detail);
}
