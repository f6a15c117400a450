// The page: from the photographs to the downloads.

import * as archive from "./archive.js";
import { Batch, resultOf } from "./batch.js";
import * as compare from "./compare.js";
import * as live from "./live.js";
import * as outcome from "./outcome.js";
import * as ownStyle from "./own_style.js";
import * as photograph from "./photograph.js";
import * as roll from "./roll.js";
import { getJson, key, Lost } from "./server.js";
import * as settings from "./settings.js";
import { smaller, tooLarge } from "./smaller.js";
import * as trouble from "./trouble.js";
import * as visit from "./visit.js";
import { duration, title } from "./words.js";
import * as working from "./working.js";

const $ = (id) => document.getElementById(id);

const unlimited = { max_body_bytes: Infinity, max_pixels: Infinity, max_output_pixels: Infinity, max_pixels_in_flight: Infinity };
let limits = { ...unlimited, max_requests: 1, gives: [] };
const batch = new Batch(changed, (result) => visit.keep(result, revisit, true));
let picture = null; // the one of the batch that is shown
let marked = null; // the one that was chosen last: one that cannot be shown is not `picture`
let shared = ""; // the request of all pictures that have none of their own
let work = null; // AbortController of what is being made
let choices = 0; // of two pictures that are opened at once, the later one counts
let again = () => {}; // what to try once there is a key

start();

async function start() {
  addEventListener("error", (event) => wrong(event.error ?? new Error(event.message)));
  addEventListener("unhandledrejection", (event) => wrong(event.reason));
  listen();
  try {
    const [served, found] = await Promise.all([settings.refresh(), getJson("limits")]);
    limits = found;
    if (!served.any) wrong(new Error("This server has no networks."));
  } catch (error) {
    wrong(error);
    return;
  }
  photograph.tell(limits);
  settings.offer(limits.gives);
  if (location.hash.length > 1) settings.restore(location.hash.slice(1));
  shared = settings.request();
  if (picture && !work) take(picture); // it was chosen before the styles and the limits were known
  const askKey = (error, retry) => (wrong(error), (again = retry));
  const learned = (name) => (settings.pick(name), change({ target: { name: "mode" } })); // with new thumbnails
  ownStyle.start(limits, { names: settings.names, renew: settings.refresh, choose: learned, askKey });
  setInterval(() => document.hidden || work || refresh(), 30_000); // networks are swapped
  addEventListener("focus", () => work || refresh());
}

/** Ask again what is served; a style that was chosen and is gone is named. */
async function refresh() {
  const chosen = settings.style(), { renewed } = await settings.refresh().catch(() => ({}));
  if (!renewed || !picture) return;
  settle();
  live.renew();
  const now = settings.style();
  if (chosen && chosen !== now) wrong(new Error(`${title(chosen)} is no longer served. ${title(now)} is chosen now.`));
}

function listen() {
  photograph.listen(choose, wrong);
  settings.onWall(async (name) => {
    settings.pick(name);
    choose([await photograph.example("coffee.jpg")]);
  });
  $("settings").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!picture || work || $("go").disabled) return;
    if (batch.several && !batch.todo(pathOf).length) $("zip").click();
    else run();
  });
  working.listen(() => work?.abort());
  trouble.listen(() => {
    refresh(); // private styles
    if (!work) again();
  }, shrink);
  roll.listen(select, () => marked && leave(marked), own);
  archive.listen(() => batch.pictures);
  const told = (...estimate) => work || working.describe(...estimate);
  live.listen(() => work && !batch.several, (error) => work || wrong(error), told);
  compare.listen();
  outcome.listen((file) => choose([file]));
  settings.watch(change);
}

/** Take some files as the pictures, or add them to several; whether they are pictures, the server knows best. */
async function choose(files) {
  const adds = batch.several;
  if (!adds) {
    work?.abort();
    work = null;
    working.show(false);
    for (const each of [...batch.pictures]) batch.remove(each);
  }
  const added = batch.add(files);
  roll.fill(batch.pictures);
  if (adds) settle();
  else for (const each of added) if (await select(each)) return; // past those that cannot be shown
}

/** Open a picture and show it, with its result if it has one. Returns false if it cannot be shown. */
async function select(chosen) {
  if (chosen.url && chosen === picture && chosen === marked) return true;
  const mine = ++choices;
  clear();
  roll.mark((marked = chosen));
  if (!chosen.url) {
    if (!work) working.say("Reading");
    try {
      Object.assign(chosen, await photograph.opened(chosen.file, limits.max_body_bytes));
    } catch (error) {
      if (mine !== choices) return true;
      if (!(error instanceof Lost || error.problem?.status === 401)) batch.fail(chosen, error);
      else again = () => select(chosen);
      wrong(error, chosen.file.name);
      return error instanceof Lost || error.problem?.status === 401;
    }
  }
  if (mine !== choices) return true;
  take(chosen, batch.several ? pathOf(chosen) : "");
  if (!work && !outcome.shown()) working.describe(picture);
  return true;
}

/** Show an opened picture. path: the request to set the controls by; without one, they stay as they are. */
function take(opened, path = "") {
  picture = marked = opened;
  roll.mark(picture);
  document.body.classList.remove("landing");
  compare.showAlone(picture);
  $("empty").hidden = true;
  $("file").tabIndex = $("folder").tabIndex = -1; // "Other pictures" opens it now
  $("tools").hidden = false;
  live.begin(picture, limits);
  if (document.activeElement === document.body) $("settings").elements.mode[0].focus({ preventScroll: true });
  if (path) settings.restore(path);
  settle();
  if (picture.state === "failed") wrong(new Error(picture.words));
  const large = tooLarge(picture, limits);
  if (large) wrong(new Error(large));
  trouble.offerSmaller(Boolean(large));
  again = live.renew;
  open(results()).then(live.renew);
}

/** The result of the settings for the picture, if there is one. */
function results() {
  const path = settings.request();
  return picture.result?.path === path ? picture.result : visit.find(path, picture);
}

/** A setting has changed: show the result that it had before, or a preview. */
function change(event) {
  settle();
  if (!picture || (work && !batch.several)) return;
  const result = results();
  if (result) open(result);
  else if (event.target.name === "mode") {
    outcome.hide();
    live.renew();
  } else live.repaint();
}

/** Make the picture, or all of several. */
async function run() {
  const fault = settings.invalid();
  if (fault) {
    wrong(new Error(`${fault.label}: ${fault.words}`));
    settings.mark(fault.field.id);
    return;
  }
  again = run;
  live.cancel();
  work = new AbortController();
  const { signal } = work;
  clear();
  working.say("");
  working.show(true, batch.several);
  $("frame").scrollIntoView({ block: "nearest" });
  try {
    await (batch.several ? runAll(signal) : runOne(signal));
  } catch (error) {
    if (error.name !== "AbortError") wrong(error);
    else if (work?.signal === signal) working.say("Cancelled.");
  } finally {
    if (work?.signal === signal) work = null;
    working.show(Boolean(work));
    settle();
  }
}

async function runOne(signal) {
  if (!live.isShown()) compare.showAlone(picture);
  const result = await resultOf(settings.request(), picture, { signal, tell: working.tell });
  visit.keep(result, revisit);
  await open(result);
  working.say(`Done in ${duration(result.milliseconds)}.`);
  if (settings.mode() === "upscale") compare.actualIfLarger();
}

async function runAll(signal) {
  const common = shared, most = limits.max_requests - 1; // one is left for previews
  await batch.run((each) => each.own ?? common, most, signal, working.all());
  working.doneAll(batch.pictures);
}

/** A picture of the batch has another state. */
function changed(which) {
  roll.show(which, which.result?.path !== pathOf(which));
  roll.count(batch.pictures);
  if (which === picture && which.state === "done" && which.result.path === settings.request()) open(which.result);
}

const pathOf = (which) => which.own ?? shared;

/** Settings for the picture that is shown, or again those of all. */
function own(on) {
  if (!picture) return;
  picture.own = on ? settings.request() : undefined;
  if (!on) settings.restore(shared);
  change({ target: {} });
}

/** Take a picture out of the batch, and show its neighbour. */
function leave(which) {
  const at = batch.pictures.indexOf(which);
  batch.remove(which);
  roll.fill(batch.pictures);
  select(batch.pictures[Math.min(at, batch.pictures.length - 1)]);
}

function revisit(result) {
  if (!work) working.say("");
  open(result);
}

/** Show a result of this visit, if there is one, with its photograph and its settings. */
async function open(result) {
  if (!result || (work && !batch.several && result.picture !== picture)) return;
  const asked = settings.request();
  if (!result.width) Object.assign(result, await photograph.measured(result.url).catch(() => ({}))); // an AVIF, somewhere old
  if (settings.request() !== asked) return; // changed meanwhile
  if (result.picture !== picture) return take(result.picture, result.path);
  live.cancel();
  clear();
  settings.restore(result.path);
  settle();
  const how = result.path.startsWith("stylize") ? `Painted as ${settings.style()}` : "Enlarged";
  if (result.width) compare.showBoth(result, how, "After");
  outcome.show(result, Boolean(key()));
  visit.mark(result);
}

/** Go on with a copy that is small enough. */
async function shrink() {
  const large = picture, file = await smaller(large, limits);
  if (!file) return;
  if (!batch.several) return choose([file]);
  Object.assign(large, { file, url: "", state: "waiting", refused: "" });
  changed(large);
  select(large);
}

function settle() {
  const most = settings.limitFactor(picture, limits);
  if (picture?.own) picture.own = settings.request();
  else shared = settings.request();
  for (const each of batch.pictures) roll.show(each, each.result?.path !== pathOf(each));
  roll.count(batch.pictures);
  const left = batch.several ? batch.todo(pathOf).length : 1;
  $("go").textContent = settings.verb(batch.several ? left : null);
  $("go").disabled = !picture || (!left && $("zip").disabled) || (!batch.several && Boolean(tooLarge(picture, limits)));
  $("another").textContent = batch.several ? "Add pictures" : "Other pictures";
  $("size").textContent = settings.size(picture, most);
  const path = settings.style() || settings.mode() === "upscale" ? `#${settings.request()}` : "";
  if (picture && path) history.replaceState(null, "", path);
}

function clear() {
  trouble.hide();
  outcome.hide();
  visit.mark(null);
  settings.unmark();
  compare.whole();
}

function wrong(error, name = picture?.file.name ?? "This file") {
  if (!work) working.say("");
  trouble.show(error, name, Boolean(picture));
  if (error.problem?.code === "unknown_model") refresh(); // it says which
  if (error.problem?.parameter) settings.mark(error.problem.parameter);
}
