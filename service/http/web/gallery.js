// The styles: tiles to choose from beside the picture, and on the wall of the first view.

import { ask, getJson, key } from "./server.js";
import { coloursOf } from "./swatch.js";
import { bytes, painter, title } from "./words.js";

const $ = (id) => document.getElementById(id);
const cards = new Map(); // version -> card

/** Show these styles, {name: version}, and return once their cards are read. choose: called with a name on the wall. */
export async function fill(styles, chosen, choose) {
  $("gallery").replaceChildren(...[...styles].map(([name, version]) => tile(name, version, name === chosen)));
  $("exhibition").replaceChildren(...[...styles].map(([name, version]) => exhibit(name, version, choose)));
  const [first] = styles;
  if (first) unveil(...first);
  await Promise.all([...styles].map(([name, version]) => describe(name, version)));
}

/** Put a painting of the visitor's own photograph on a tile; without a URL, the bundled one comes back. */
export function repaint(name, url) {
  const image = $("gallery").querySelector(`input[value="${CSS.escape(name)}"] ~ img`);
  if (image) image.src = url ?? image.dataset.bundled;
}

/** The bundled paintings on all tiles. */
export function reset() {
  for (const image of $("gallery").querySelectorAll("img")) image.src = image.dataset.bundled;
}

/** Artist, title and year of the painting that a style comes from; "" while unknown. */
export function source(version) {
  return cards.get(version)?.source?.replace(/, public domain\)$/, ")") ?? "";
}

function thumbnail(name, version) { // the version makes a swapped network's thumbnail another one
  return `models/stylize/${encodeURIComponent(name)}/thumbnail?v=${version.slice(7, 19)}`;
}

/** The thumbnail of a private style needs the key. Without one, an empty frame rather than a broken image. */
async function withKey(image) {
  const path = image.src;
  image.removeAttribute("src");
  const response = key() && path.startsWith("http") ? await ask(path).catch(() => null) : null;
  if (response) image.dataset.bundled = image.src = URL.createObjectURL(await response.blob());
}

function tile(name, version, checked) {
  const label = document.createElement("label"), input = document.createElement("input");
  const image = new Image(120, 80), text = document.createElement("span"), from = document.createElement("small");
  const swatch = document.createElement("i");
  Object.assign(input, { type: "radio", name: "style", value: name, checked });
  image.alt = "";
  image.loading = "lazy";
  image.dataset.bundled = image.src = thumbnail(name, version);
  image.addEventListener("error", () => withKey(image), { once: true });
  image.addEventListener("load", () => paintSwatch(swatch, image), { once: true });
  text.textContent = title(name);
  from.dataset.by = version;
  label.append(input, image, swatch, text, from);
  return label;
}

/** The colours of a style, from the bundled photograph in it. */
function paintSwatch(swatch, image) {
  const colours = coloursOf(image), width = 100 / colours.length;
  const stripes = colours.map((colour, at) => `${colour} ${at * width}% ${(at + 1) * width}%`);
  swatch.style.background = `linear-gradient(90deg, ${stripes.join(", ")})`;
}

function exhibit(name, version, choose) {
  const item = document.createElement("li"), button = document.createElement("button");
  const image = new Image(600, 400), text = document.createElement("span"), from = document.createElement("small");
  Object.assign(button, { type: "button", value: name });
  Object.assign(image, { alt: "", loading: "lazy", src: thumbnail(name, version) });
  image.addEventListener("error", () => withKey(image), { once: true });
  text.textContent = title(name);
  from.dataset.version = version;
  button.append(image, text, from);
  button.addEventListener("click", () => choose(name));
  item.append(button);
  return item;
}

/** The photograph at the top turns into a painting, once. */
function unveil(name, version) {
  const painting = $("hero").querySelector(".painting");
  painting.addEventListener("load", () => $("hero").classList.add("unveiled"), { once: true });
  painting.src = thumbnail(name, version);
  $("hero-style").textContent = title(name);
}

async function describe(name, version) {
  try {
    if (!cards.has(version)) cards.set(version, await getJson(`models/stylize/${encodeURIComponent(name)}`));
  } catch {
    return; // a card is not worth an error
  }
  const { license, bytes: size } = cards.get(version);
  const tile = $("gallery").querySelector(`[data-by="${CSS.escape(version)}"]`);
  if (tile) {
    tile.textContent = painter(cards.get(version).source);
    tile.parentElement.title = source(version);
  }
  const from = $("exhibition").querySelector(`[data-version="${CSS.escape(version)}"]`);
  if (from) from.textContent = [source(version), license, bytes(size)].filter(Boolean).join(" · ");
}
