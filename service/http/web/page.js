// The page: from the photograph to the download.

import * as compare from "./compare.js";
import * as gallery from "./gallery.js";
import * as settings from "./settings.js";
import * as outcome from "./outcome.js";
import * as ownStyle from "./own_style.js";
import * as photograph from "./photograph.js";
import { fitting, Previews, reduced } from "./previews.js";
import { getJson, key, Lost, make, Refused, setKey } from "./server.js";
import * as visit from "./visit.js";
import { bytes, duration, megapixels, names, sentence, title } from "./words.js";
import * as working from "./working.js";

const $ = (id) => document.getElementById(id);

let limits = { max_body_bytes: Infinity, max_pixels: Infinity, max_output_pixels: Infinity, gives: [] };
let picture = null; // {file, shown, url, width, height}; shown: a Blob that this browser can decode
let previews = null;
let preview = null; // {url, width, height, path}
let work = null; // AbortController of what is being made
let choices = 0; // of two files that are read at once, the later one counts
let again = () => {}; // what to try once there is a key

start();

async function start() {
  addEventListener("error", (event) => trouble(event.error ?? new Error(event.message)));
  addEventListener("unhandledrejection", (event) => trouble(event.reason));
  listen();
  try {
    const [served, found] = await Promise.all([settings.refresh(), getJson("limits")]);
    limits = found;
    if (!served.any) trouble(new Error("This server has no networks."));
  } catch (error) {
    trouble(error);
    return;
  }
  $("limits").textContent =
    `${names(limits.takes)}, up to ${bytes(limits.max_body_bytes)} and ${megapixels(limits.max_pixels)}.`;
  for (const format of limits.gives) $("format").append(new Option(format.toUpperCase(), format));
  if (location.hash.length > 1) settings.restore(location.hash.slice(1));
  if (picture && !work) take(picture); // it was chosen before the styles and the limits were known
  const askKey = (error, retry) => (trouble(error), (again = retry));
  ownStyle.start(limits, { names: settings.names, renew: settings.refresh, choose: useStyle, askKey });
  setInterval(() => document.hidden || work || refresh(), 30_000); // networks are swapped
  addEventListener("focus", () => work || refresh());
}

async function refresh() {
  const { renewed } = await settings.refresh().catch(() => ({}));
  if (renewed && picture) renew();
}

/** Select a style that was just learned. */
function useStyle(name) {
  settings.pick(name);
  settle();
  if (picture && !work) renew();
}

function listen() {
  photograph.listen(choose);
  for (const button of document.querySelectorAll("[data-example]")) {
    button.addEventListener("click", () => useExample(button.dataset.example));
  }
  settings.onWall((name) => {
    settings.pick(name);
    useExample("coffee.jpg");
  });
  $("reuse").addEventListener("click", () => {
    const { blob, name } = outcome.shown();
    choose([new File([blob], name, { type: blob.type })]);
  });
  $("settings").addEventListener("submit", (event) => {
    event.preventDefault();
    if (picture && !work && !$("go").disabled) run();
  });
  $("cancel").addEventListener("click", () => work?.abort());
  $("shrink").addEventListener("click", shrink);
  $("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    setKey($("key").value);
    $("key").value = "";
    $("key-form").hidden = $("trouble").hidden = true;
    refresh(); // private styles
    if (!work) again();
  });
  compare.listen();
  outcome.listen();
  settings.watch(change);
  addEventListener("keydown", (event) => event.key === "Escape" && work?.abort());
}

async function useExample(name) {
  const blob = await (await fetch(`web/${name}`)).blob();
  choose([new File([blob], name, { type: blob.type })]);
}

/** Take the first of some files as the picture; whether it is one, the server knows best. */
async function choose(files) {
  work?.abort();
  work = null;
  working.show(false);
  clear();
  const file = files[0], mine = ++choices;
  working.say("Reading");
  try {
    const found = await photograph.opened(file, limits.max_body_bytes);
    if (mine !== choices) return;
    take(found);
  } catch (error) {
    if (mine === choices) trouble(error, file.name);
    return;
  }
  const more = files.length > 1 ? `. You dropped ${files.length} files; this is the first.` : "";
  working.say(`${picture.file.name}, ${picture.width} × ${picture.height}${more}`);
}

function take(opened) {
  if (picture) previews?.close();
  picture = opened;
  preview = null;
  document.body.classList.remove("landing");
  compare.showAlone(picture);
  $("empty").hidden = true;
  $("file").tabIndex = -1; // "Another one" opens it now
  $("tools").hidden = false;
  gallery.reset();
  previews = new Previews(picture, limits.max_pixels);
  if (document.activeElement === document.body) $("settings").elements.mode[0].focus({ preventScroll: true });
  settle();
  if (tooLarge()) offerSmaller();
  again = renew;
  renew();
}

/** The preview first; then the thumbnails, which are many. */
async function renew() {
  const current = previews;
  await repaint();
  if (current === previews && settings.mode() === "stylize") current.thumbnails(settings.names(), gallery.repaint);
}

/** A setting has changed: show the result that it had before, or a preview. */
function change(event) {
  settle();
  if (!picture || work) return;
  const result = visit.find(settings.request(), picture);
  if (result) open(result);
  else if (event.target.name === "mode") renew();
  else repaint();
}

/** Paint a preview; until it is there, what is shown is marked as out of date. */
async function repaint() {
  const shown = outcome.shown(), current = previews;
  if (shown) {
    outcome.hide();
    compare.tag("Earlier settings");
  }
  if (settings.mode() !== "stylize" || !settings.style()) return previews.cancel();
  const name = title(settings.style());
  try {
    if (preview) compare.tag("Painting");
    const blob = await current.paint(settings.previewRequest(picture, current.share));
    if (!blob || current !== previews || work || outcome.shown()) return;
    if (preview) URL.revokeObjectURL(preview.url);
    preview = { url: URL.createObjectURL(blob), width: picture.width, height: picture.height };
    compare.showBoth(preview, `Preview in the style ${name}`, `Preview: ${name}`);
  } catch (error) {
    if (current === previews && (error instanceof Lost || error.problem?.status === 401)) trouble(error);
    else if (preview) compare.tag("No preview");
  }
}

async function run() {
  const wrong = settings.invalid();
  if (wrong) {
    trouble(new Error(`${wrong.label}: ${wrong.words}`));
    settings.mark(wrong.field.id);
    return;
  }
  const path = settings.request(), began = performance.now(), of = picture;
  const mode = settings.mode(), description = mode === "stylize" ? `Painted as ${settings.style()}` : "Enlarged";
  again = run;
  previews.cancel();
  work = new AbortController();
  const { signal } = work;
  clear();
  if (!preview || mode !== "stylize") compare.showAlone(picture);
  working.show(true);
  $("frame").scrollIntoView({ block: "nearest" });
  try {
    const made = await make(path, picture.file, { signal, tell: working.tell });
    const url = URL.createObjectURL(made.blob);
    const seen = await photograph.measured(url).catch(() => ({})); // an AVIF, somewhere old
    const result = { ...made, url, ...seen, path, picture: of, description, milliseconds: performance.now() - began };
    result.name = outcome.fileName(made.headers);
    visit.keep(result, open);
    open(result);
    working.say(`Done in ${duration(result.milliseconds)}.`);
    if (mode === "upscale") compare.actualIfLarger();
  } catch (error) {
    if (error.name !== "AbortError") trouble(error);
    else if (work?.signal === signal) working.say("Cancelled.");
  } finally {
    if (work?.signal === signal) work = null;
    working.show(Boolean(work));
  }
}

/** Show a result of this visit, with its photograph and its settings. */
function open(result) {
  if (work && result.picture !== picture) return;
  previews.cancel();
  if (result.picture !== picture) {
    take(result.picture);
    previews.cancel();
  }
  clear();
  settings.restore(result.path);
  settle();
  if (result.width) compare.showBoth(result, result.description, "After");
  outcome.show(result, Boolean(key()));
  visit.mark(result);
}

function tooLarge() {
  return picture.width * picture.height > limits.max_pixels || picture.file.size > limits.max_body_bytes;
}

function offerSmaller() {
  const has = picture.file.size > limits.max_body_bytes ? bytes(picture.file.size) : megapixels(picture.width * picture.height);
  const most = picture.file.size > limits.max_body_bytes ? bytes(limits.max_body_bytes) : megapixels(limits.max_pixels);
  trouble(new Error(`${picture.file.name} has ${has}; this server takes at most ${most}.`));
  $("shrink").hidden = false;
}

/** Go on with a copy that is small enough, made in this browser. */
async function shrink() {
  let share = fitting(picture, 0.98 * limits.max_pixels), blob;
  do {
    blob = await reduced(picture.shown, picture, share, 0.92);
    share *= 0.8;
  } while (blob && blob.size > limits.max_body_bytes && share > 0.01);
  if (blob) choose([new File([blob], picture.file.name.replace(/\.\w+$/, "") + ".jpg", { type: "image/jpeg" })]);
}

function settle() {
  const most = settings.limitFactor(picture, limits.max_output_pixels);
  $("go").textContent = settings.verb();
  $("go").disabled = !picture || tooLarge();
  const factor = Number($("factor").value);
  const becomes = picture && factor >= 1
    ? `${picture.width} × ${picture.height} becomes ${Math.round(picture.width * factor)} × ${Math.round(picture.height * factor)}`
    : "";
  $("size").textContent = becomes && most ? `${becomes}. At most ${most} times for this picture.` : becomes;
  const path = settings.style() || settings.mode() === "upscale" ? `#${settings.request()}` : "";
  if (picture && path) history.replaceState(null, "", path);
}

function clear() {
  for (const each of ["trouble", "key-form", "shrink"]) $(each).hidden = true;
  outcome.hide();
  visit.mark(null);
  settings.unmark();
  compare.whole();
  working.say("");
}

function trouble(error, name = picture?.file.name ?? "This file") {
  working.say("");
  const problem = error instanceof Refused ? error.problem : {};
  const keyless = problem.status === 401 && !key();
  const words = error instanceof Refused ? sentence(problem, name) : error.message;
  $("trouble-detail").textContent = keyless ? "This server asks for a key." : error instanceof Lost ? "Can't reach the server." : words;
  $("trouble-hint").textContent = error instanceof Lost && picture ? "Your picture is still here; try again." : "";
  const technical = [problem.detail, problem.request_id && `Request ${problem.request_id}`].filter(Boolean).join(". ");
  $("trouble-technical").textContent = technical;
  $("trouble-more").hidden = !technical;
  $("trouble").hidden = false;
  $("shrink").hidden = true;
  $("key-form").hidden = problem.status !== 401;
  if (problem.status === 401) $("key").focus();
  if (problem.parameter) settings.mark(problem.parameter);
}
