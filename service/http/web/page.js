// The page: one picture at a time, from the drop to the download.

import * as compare from "./compare.js";
import * as knobs from "./knobs.js";
import { getJson, key, Lost, make, readable, Refused, setKey } from "./server.js";
import { bytes, curl, duration, megapixels, STAGES, timings } from "./words.js";

const $ = (id) => document.getElementById(id);

let limits = { max_body_bytes: Infinity, gives: [] };
let picture = null; // {file, url, width, height}
let answer = null; // {blob, url, width, height, name}
let work = null; // AbortController of what is being made
let choices = 0; // of two files that are read at once, the later one counts

start();

async function start() {
  addEventListener("error", (event) => trouble(event.error ?? new Error(event.message)));
  addEventListener("unhandledrejection", (event) => trouble(event.reason));
  listen();
  try {
    const [served, found] = await Promise.all([knobs.refresh(), getJson("limits")]);
    limits = found;
    if (!served) trouble(new Error("the server has no networks"));
  } catch (error) {
    trouble(error);
    return;
  }
  $("limits").textContent =
    `${names(limits.takes)}, up to ${bytes(limits.max_body_bytes)} and ${megapixels(limits.max_pixels)}.`;
  for (const format of limits.gives) $("format").append(new Option(format.toUpperCase(), format));
  setInterval(() => document.hidden || work || knobs.refresh().catch(() => {}), 30_000); // networks are swapped
  addEventListener("focus", () => work || knobs.refresh().catch(() => {}));
}

function listen() {
  $("file").addEventListener("change", () => {
    if ($("file").files.length) choose($("file").files);
    $("file").value = ""; // the same file may be chosen again
  });
  $("example").addEventListener("click", async () => {
    const blob = await (await fetch("web/example.jpg")).blob();
    choose([new File([blob], "chelsea.jpg", { type: blob.type })]);
  });
  $("another").addEventListener("click", () => $("file").click());
  $("reuse").addEventListener("click", () => choose([new File([answer.blob], answer.name, { type: answer.blob.type })]));
  $("knobs").addEventListener("submit", (event) => {
    event.preventDefault();
    if (picture && !work) run();
  });
  $("cancel").addEventListener("click", () => work?.abort());
  $("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    setKey($("key").value);
    $("key").value = "";
    $("key-form").hidden = $("trouble").hidden = true;
    if (picture && !work) run();
  });
  $("zoom").addEventListener("click", () => zoom($("zoom").getAttribute("aria-pressed") !== "true"));
  $("copy").addEventListener("click", copy);
  knobs.watch(settle);
  addEventListener("paste", (event) => event.clipboardData?.files.length && choose(event.clipboardData.files));
  addEventListener("keydown", (event) => event.key === "Escape" && work?.abort());
  let depth = 0;
  const dragging = (on) => document.body.classList.toggle("dragging", on);
  addEventListener("dragenter", () => dragging(++depth > 0));
  addEventListener("dragleave", () => dragging(--depth > 0));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    dragging(false);
    if (event.dataTransfer.files.length) choose(event.dataTransfer.files);
  });
}

/** Take the first of some files as the picture; whether it is one, the server knows best. */
async function choose(files) {
  work?.abort();
  work = null;
  working(false);
  clear();
  const file = files[0], mine = ++choices;
  if (file.size > limits.max_body_bytes) {
    trouble(new Error(`the file ${file.name} has ${bytes(file.size)}; expected at most ${bytes(limits.max_body_bytes)}`));
    return;
  }
  say(files.length > 1 ? `${files.length} files; this is the first.` : "Reading");
  try {
    const found = await opened(file);
    if (mine !== choices) return;
    take(found);
  } catch (error) {
    if (mine === choices) trouble(error);
    return;
  }
  say(files.length > 1 ? `${files.length} files; this is the first.` : `${file.name}, ${picture.width} × ${picture.height}`);
}

async function opened(file) {
  try {
    return { file, ...(await measured(file)) };
  } catch {
    return { file, ...(await measured(await readable(file))) }; // a TIFF, say; or none at all: then the server says what it is
  }
}

function take(opened) {
  if (picture) URL.revokeObjectURL(picture.url);
  picture = opened;
  compare.showAlone(picture);
  $("empty").hidden = true;
  $("file").tabIndex = -1; // "Another picture" opens it now
  $("tools").hidden = false;
  settle();
}

/** {url, width, height} of an image file that the browser can show. */
async function measured(blob) {
  const url = URL.createObjectURL(blob), image = new Image();
  image.src = url;
  try {
    await image.decode();
  } catch (error) {
    URL.revokeObjectURL(url);
    throw error;
  }
  return { url, width: image.naturalWidth, height: image.naturalHeight };
}

async function run() {
  const path = knobs.request(), began = performance.now();
  const mode = knobs.mode(), description = mode === "stylize" ? `Painted as ${knobs.style()}` : "Enlarged";
  work = new AbortController();
  const { signal } = work;
  clear();
  compare.showAlone(picture);
  working(true);
  $("frame").scrollIntoView({ block: "nearest" });
  try {
    const made = await make(path, picture.file, { signal, tell });
    const seen = await measured(made.blob).catch(() => ({ url: URL.createObjectURL(made.blob) })); // an AVIF, somewhere old
    answer = { blob: made.blob, ...seen, name: fileName(made.headers) };
    show(made, path, description, performance.now() - began);
    if (mode === "upscale" && compare.isLarger()) zoom(true);
  } catch (error) {
    if (error.name !== "AbortError") trouble(error);
    else if (work?.signal === signal) say("Cancelled. Nothing more of it is computed.");
  } finally {
    if (work?.signal === signal) work = null;
    working(Boolean(work));
  }
}

function show({ blob, headers }, path, description, milliseconds) {
  if (answer.width) compare.showBoth(answer, description);
  const address = new URL(path, document.baseURI).href;
  const kind = blob.type.replace("image/", "").toUpperCase();
  const inexact = headers.get("Impasto-Exact") === "false" ? " Too large to be painted as a whole: statistics of a reduced picture." : "";
  const size = answer.width ? `${answer.width} × ${answer.height}` : "This browser cannot show it";
  $("facts").textContent = `${size}, ${kind}, ${bytes(blob.size)}.${inexact}`;
  const stages = timings(headers.get("Server-Timing"));
  $("stages").replaceChildren(
    ...stages.map(([, spent]) => {
      const part = document.createElement("span");
      part.style.setProperty("--part", spent);
      return part;
    }),
  );
  $("times").replaceChildren(
    ...stages.map(([stage, spent]) => {
      const item = document.createElement("li"), value = document.createElement("b");
      value.textContent = duration(spent);
      item.append(`${STAGES[stage] ?? stage} `, value);
      return item;
    }),
  );
  $("curl").textContent = curl(address, picture.file.name, answer.name, Boolean(key()));
  Object.assign($("download"), { href: answer.url, download: answer.name, hidden: false });
  $("reuse").hidden = $("outcome").hidden = false;
  say(`Done in ${duration(milliseconds)}.`);
}

/** What the server says of the job, in a line and a bar. The line is read aloud, so it changes seldom. */
function tell(status) {
  const { state, share, position, tiles_done, tiles_total } = status;
  $("cancel").dataset.state = state;
  if (state === "uploading") {
    say(share < 1 ? "Uploading" : "Waiting for the server");
    bar(share < 1 ? share : null);
  } else if (state === "queued") {
    say(position > 1 ? `In the queue: ${position - 1} before you` : "In the queue: you are next");
    bar(null);
  } else if (state === "running") {
    say(tiles_total > 1 ? `Working, ${tiles_total} tiles` : "Working");
    bar(tiles_total > 1 ? tiles_done / tiles_total : null);
  } else if (state === "done") {
    say("Fetching the answer");
    bar(null);
  }
}

function bar(share) {
  if (share === null) $("bar").removeAttribute("value");
  else $("bar").value = share;
}

function working(on) {
  const focused = [$("go"), $("cancel")].includes(document.activeElement) || document.activeElement === document.body;
  $("working").hidden = !on;
  $("go").hidden = on;
  $("cancel").hidden = !on;
  compare.busy(on);
  if (on) bar(null);
  if (focused) (on ? $("cancel") : $("go")).focus({ preventScroll: true });
}

function settle() {
  $("go").textContent = knobs.verb();
  $("go").disabled = !picture;
  const factor = Number($("factor").value);
  $("size").textContent =
    picture && factor >= 1
      ? `${picture.width} × ${picture.height} becomes ${Math.round(picture.width * factor)} × ${Math.round(picture.height * factor)}`
      : "";
}

function clear() {
  for (const each of ["trouble", "key-form", "outcome", "download", "reuse"]) $(each).hidden = true;
  knobs.unmark();
  zoom(false);
  say("");
  if (answer) URL.revokeObjectURL(answer.url);
  answer = null;
}

function trouble(error) {
  say("");
  const problem = error instanceof Refused ? error.problem : {};
  const keyless = problem.status === 401 && !key();
  $("trouble-detail").textContent = keyless ? "this server asks for a key" : error.message;
  const lines = [];
  if (error instanceof Lost) lines.push("It stopped, or the network did. Your picture is still here: try again.");
  if (problem.request_id) lines.push(`Request ${problem.request_id}`);
  $("trouble-hint").textContent = lines.join(" ");
  $("trouble").hidden = false;
  $("key-form").hidden = problem.status !== 401;
  if (problem.status === 401) $("key").focus();
  if (problem.parameter) knobs.mark(problem.parameter);
}

function zoom(on) {
  compare.actual(on);
  $("zoom").setAttribute("aria-pressed", on);
}

async function copy() {
  const text = $("curl").textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch { // not allowed, or no https: then it is marked, to be copied by hand
    getSelection().selectAllChildren($("curl"));
    document.execCommand("copy");
  }
  $("copy").textContent = "Copied";
  setTimeout(() => ($("copy").textContent = "Copy"), 2000);
}

function fileName(headers) {
  const header = headers.get("Content-Disposition") ?? "";
  const full = /filename\*=UTF-8''([^;]+)/.exec(header), plain = /filename="([^"]+)"/.exec(header);
  return full ? decodeURIComponent(full[1]) : (plain?.[1] ?? "picture");
}

function say(text) {
  if ($("status").textContent !== text) $("status").textContent = text;
}

function names(formats) {
  const list = formats.map((each) => ({ webp: "WebP" })[each] ?? each.toUpperCase());
  return `${list.slice(0, -1).join(", ")} or ${list.at(-1)}`;
}
