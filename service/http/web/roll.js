// The strip of the pictures that were chosen: what each looks like, and its state.

import { thumbnail } from "./photograph.js";

const $ = (id) => document.getElementById(id);
const WORDS = { waiting: "waiting", working: "working", done: "ready", stale: "ready, with earlier settings" };
const MOST_BYTES = 100e6; // of a file that is decoded for a thumbnail

const items = new Map(); // picture -> {button, image}
let open = () => {};
let drawn = Promise.resolve(); // thumbnails are made one after the other

/** Call choose(picture) for a click, remove() and own(on) for the buttons above the strip. */
export function listen(choose, remove, own) {
  open = choose;
  $("remove").addEventListener("click", remove);
  $("own-settings").addEventListener("change", (event) => {
    event.stopPropagation();
    own($("own-settings").checked);
  });
  $("pictures").addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const all = [...$("pictures").querySelectorAll("button")], next = all[all.indexOf(event.target) + by];
    if (!next) return;
    event.preventDefault();
    next.focus();
  });
}

/** Show these pictures; one alone needs no strip. */
export function fill(pictures) {
  for (const [picture, { button }] of items) {
    if (pictures.includes(picture)) continue;
    button.parentElement.remove();
    items.delete(picture);
  }
  $("roll").hidden = pictures.length < 2;
  if (pictures.length < 2) return;
  for (const picture of pictures) if (!items.has(picture)) add(picture);
}

/** Show the state of a picture. stale: it has a result, of earlier settings. */
export function show(picture, stale) {
  const item = items.get(picture);
  if (!item) return;
  const state = stale && picture.state === "done" ? "stale" : picture.state;
  if (item.result !== picture.result) {
    item.result = picture.result;
    draw(picture, picture.result.blob);
  }
  if (item.button.dataset.state === state) return;
  item.button.dataset.state = state;
  item.button.title = state === "failed" ? picture.words : `${picture.file.name}: ${WORDS[state]}`;
  item.button.setAttribute("aria-label", state === "failed" ? `Failed: ${picture.words}` : item.button.title);
}

/** Say how many there are, and how far they are. */
export function count(pictures) {
  const of = (state) => pictures.filter((each) => each.state === state).length;
  const [done, failed] = [of("done"), of("failed")];
  const parts = [`${pictures.length} pictures`, done && `${done} ready`, failed && `${failed} failed`];
  $("roll-count").textContent = parts.filter(Boolean).join(", ");
  $("zip").disabled = !pictures.some((each) => each.result);
}

/** Mark the picture that is shown. */
export function mark(picture) {
  for (const [each, { button }] of items) {
    button.setAttribute("aria-pressed", each === picture);
    button.tabIndex = each === picture ? 0 : -1;
  }
  $("own-settings").checked = Boolean(picture?.own);
  items.get(picture)?.button.scrollIntoView({ block: "nearest", inline: "nearest" });
}

function add(picture) {
  const item = document.createElement("li"), button = document.createElement("button");
  const name = document.createElement("span");
  name.textContent = picture.file.name;
  button.type = "button";
  button.append(name);
  button.addEventListener("click", () => open(picture));
  item.append(button);
  $("pictures").append(item);
  items.set(picture, { button, result: undefined });
  show(picture);
  if (picture.file.size < MOST_BYTES) draw(picture, picture.file);
}

function draw(picture, blob) {
  drawn = drawn.then(async () => {
    const item = items.get(picture);
    if (!item || (item.image && blob === picture.file)) return; // gone, or made meanwhile
    const url = await thumbnail(blob).catch(() => ""); // not every format; then its name stays
    if (!url) return;
    const image = new Image(96, 64);
    Object.assign(image, { src: url, alt: "" });
    await image.decode().catch(() => {});
    if (item.image) URL.revokeObjectURL(item.image.src);
    item.button.replaceChildren((item.image = image));
  });
}
