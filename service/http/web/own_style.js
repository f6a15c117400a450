// "Your own style": a painting is sent to be learned, watched while it learns, and then kept or discarded.

import * as fields from "./fields.js";
import { opened } from "./photograph.js";
import { fitting, reduced } from "./previews.js";
import { ask, follow, getJson, key, Lost, Refused, relative, upload } from "./server.js";
import { capital, remaining, sentence, title } from "./words.js";

const STORED = "impasto-learning"; // the name of the style, so that the page finds it again after a reload
const NAME = /^[a-z0-9][a-z0-9_-]{0,63}$/;
const SMALLER_PX = 2048; // of a copy of a painting that is too large; the trainer needs less
const TRY_AGAIN_MS = 2000;

const $ = (id) => document.getElementById(id);

let limits = {};
let page = {};
let painting = null; // {file, shown, url, width, height}
let work = null; // AbortController of the upload, and of the watching
let shown = ""; // path of the preview
let sending = 0; // share of the painting that is sent
let withdrawn = false; // cancelled after it was sent whole, and before the answer

/**
 * Offer it, where the server learns styles. given: names() of the styles; renew() asks what is served; choose(name)
 * selects a style; askKey(error, again) asks for a key.
 */
export async function start(found, given) {
  if (found.learn_minutes === null) return;
  [limits, page] = [found, given];
  $("own-minutes").placeholder = found.learn_minutes;
  $("own-typical").textContent = remaining(60 * found.learn_minutes).replace(" left", "");
  for (const each of document.querySelectorAll(".where-learned")) each.hidden = false;
  listen();
  const name = localStorage.getItem(STORED);
  if (name) await watch(name, await getJson(`styles/${name}`).catch(() => null));
}

function listen() {
  fields.listen($("own-form"));
  $("own-file").addEventListener("change", () => {
    if ($("own-file").files.length) take($("own-file").files[0]);
    $("own-file").value = "";
  });
  $("own").addEventListener("drop", (event) => {
    event.preventDefault(); // also tells the page that this is no photograph
    if (event.dataTransfer.files.length && !work) take(event.dataTransfer.files[0]);
  });
  $("own-name").addEventListener("input", () => checkName());
  $("own-form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!work) learn();
  });
  $("own-cancel").addEventListener("click", cancel);
  $("own-keep").addEventListener("click", () => reset("It is kept."));
  $("own-discard").addEventListener("click", discard);
}

async function take(file) {
  clear();
  try {
    const found = { file, ...(await opened(file, limits.max_body_bytes)) };
    if (painting) URL.revokeObjectURL(painting.url);
    painting = found;
  } catch (error) {
    return trouble(error, file.name);
  }
  Object.assign($("own-painting"), { src: painting.url, hidden: false });
  $("own-choose").textContent = "Choose another painting";
  if (!$("own-name").value) $("own-name").value = named(file.name);
  $("own-private-line").hidden = !key();
  checkName();
  say(`${file.name}, ${painting.width} × ${painting.height}`);
}

/** "My Painting (2).JPG" -> "my_painting_2" */
function named(fileName) {
  const plain = fileName.replace(/\.\w+$/, "").normalize("NFKD").toLowerCase();
  return plain.replace(/[^a-z0-9-]+/g, "_").replace(/^[_-]+|_+$/g, "").slice(0, 64);
}

/** Say what is wrong with the name that is typed. Returns whether it can be used. */
function checkName() {
  const name = $("own-name").value;
  let wrong = "";
  if (!name) wrong = "The style needs a name.";
  else if (!NAME.test(name)) wrong = "Use lower-case letters, digits, _ and -, and begin with a letter or a digit.";
  else if (page.names().includes(name)) wrong = "There is a style of that name. Choose another name.";
  $("own-name-hint").textContent = wrong || `It will be shown as ${title(name)}.`;
  $("own-name").setAttribute("aria-invalid", Boolean(wrong));
  return !wrong;
}

async function learn() {
  clear();
  if (!painting) return trouble(new Error("Choose a painting first."));
  if (!checkName()) return $("own-name").focus();
  if (!$("own-minutes").checkValidity()) return trouble(new Error("The training time is a number of minutes up to 120."));
  const name = $("own-name").value, query = new URLSearchParams({ name });
  for (const each of ["license", "source", "minutes"]) if ($(`own-${each}`).value) query.set(each, $(`own-${each}`).value);
  if (key() && $("own-private").checked) query.set("private", "true");
  work = new AbortController();
  [sending, withdrawn] = [0, false];
  show("learning");
  $("own-cancel").focus({ preventScroll: true });
  try {
    await upload(`styles?${query}`, await small(painting), work.signal, tell);
  } catch (error) {
    return error.name === "AbortError" ? reset("Cancelled.") : stop(error, learn);
  } finally {
    sending = 0;
  }
  localStorage.setItem(STORED, name);
  await (withdrawn ? cancel() : watch(name, null));
}

/** The painting, or a smaller copy of one that is too large for the server. */
async function small({ file, shown: blob, width, height }) {
  if (width * height <= limits.max_pixels && file.size <= limits.max_body_bytes) return file;
  const share = fitting({ width, height }, 0.98 * limits.max_pixels, SMALLER_PX); // the sides are rounded
  const copy = await reduced(blob, { width, height }, share);
  return copy ? new File([copy], file.name, { type: copy.type }) : file;
}

/** Follow a style until it is ready or has failed. The server may be away for a while. */
async function watch(name, style) {
  work ??= new AbortController();
  const { signal } = work;
  show("learning");
  if (style) tell(style);
  while (!signal.aborted) {
    try {
      const last = await follow(`styles/${name}`, signal, tell);
      return last.state === "ready" ? await ready(name) : await fail(name, last.reason);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error instanceof Refused) {
        const gone = error.problem.code === "unknown_model";
        if (gone) localStorage.removeItem(STORED);
        return stop(gone ? new Error("This style was cancelled.") : error, () => watch(name, null));
      }
      if (!(error instanceof Lost)) return stop(error);
      say("Can't reach the server. The page tries again.");
    }
    await new Promise((wake) => setTimeout(wake, TRY_AGAIN_MS));
  }
}

/** Show how far a style is. The line is read aloud, so it changes seldom. */
function tell({ state, share, position, progress, seconds_left: seconds, preview }) {
  if (state === "uploading") {
    sending = share;
    say(share < 1 ? "Sending the painting" : "Waiting for the server");
  }
  if (state === "queued") say(position > 1 ? `In the queue: ${position - 1} before you` : "In the queue: you are next");
  if (state === "learning") say(`Learning, ${remaining(seconds)}`);
  if (progress > 0) $("own-bar").value = progress;
  else $("own-bar").removeAttribute("value");
  if (preview && preview !== shown) showPreview((shown = preview));
}

/** By fetch, because an image element sends no key. A preview that is replaced meanwhile is no error. */
async function showPreview(path) {
  const response = await ask(relative(path)).catch(() => null);
  if (!response || path !== shown) return;
  const image = $("own-preview"), before = image.src;
  image.src = URL.createObjectURL(await response.blob());
  image.hidden = false;
  if (before) URL.revokeObjectURL(before);
}

async function ready(name) {
  work = null;
  await page.renew().catch(() => {});
  page.choose(name);
  show("ready");
  say(`${title(name)} is ready. It stands among the styles and is selected.`);
}

async function fail(name, reason) {
  await ask(`styles/${name}`, { method: "DELETE" }).catch(() => {}); // its name and its place are free again
  localStorage.removeItem(STORED);
  stop(new Error(`This painting did not become a style: ${reason}.`));
}

async function cancel() {
  if (sending === 1) {
    withdrawn = true;
    return say("Cancelling");
  }
  work?.abort();
  const name = localStorage.getItem(STORED);
  try {
    if (name) await remove(name);
    reset("Cancelled.");
  } catch (error) {
    stop(error, cancel);
  }
}

async function discard() {
  const name = localStorage.getItem(STORED);
  try {
    if (name) await remove(name);
    await page.renew();
    reset(`${title(name)} is discarded.`);
  } catch (error) {
    trouble(error, "", discard);
  }
}

async function remove(name) {
  try {
    await ask(`styles/${name}`, { method: "DELETE" });
  } catch (error) {
    if (error.problem?.code !== "unknown_model") throw error;
  }
}

/** Back to the empty form. */
function reset(words) {
  localStorage.removeItem(STORED);
  if (painting) URL.revokeObjectURL(painting.url);
  painting = null;
  $("own-form").reset();
  $("own-painting").hidden = true;
  $("own-painting").removeAttribute("src");
  $("own-choose").textContent = "Choose a painting";
  $("own-name-hint").textContent = "Lower-case letters, digits, _ and -.";
  $("own-name").removeAttribute("aria-invalid");
  stop();
  say(words);
}

/** Back to the form as it was filled in; error: what went wrong; null for nothing. again: what a key would allow. */
function stop(error = null, again = () => {}) {
  work = null;
  clear();
  show("form");
  if (error) trouble(error, painting?.file.name ?? "The painting", again);
}

function show(state) {
  const focused = $("own").contains(document.activeElement);
  $("own-form").hidden = state !== "form";
  $("own-progress").hidden = state === "form";
  $("own-bar").hidden = $("own-cancel").hidden = state !== "learning";
  $("own-keep").hidden = $("own-discard").hidden = state !== "ready";
  if (state === "form") {
    shown = "";
    $("own-preview").hidden = true;
  }
  if (focused && state !== "learning") $(state === "form" ? "own-file" : "own-keep").focus({ preventScroll: true });
}

function clear() {
  $("own-trouble").textContent = "";
  say("");
}

function trouble(error, name = "This file", again = () => {}) {
  say("");
  const problem = error instanceof Refused ? error.problem : {};
  const words = error instanceof Refused ? sentence(problem, name) : error.message;
  $("own-trouble").textContent = error instanceof Lost ? "Can't reach the server." : capital(words);
  if (problem.status === 401) page.askKey(error, again);
}

function say(text) {
  if ($("own-status").textContent !== text) $("own-status").textContent = text;
}
