// The controls: filled from what is served, read into a request.

import { getJson } from "./server.js";
import { percent, title } from "./words.js";

const $ = (id) => document.getElementById(id);
const form = $("knobs");
const HIDDEN = "neutral"; // it gives photographs back, and is there to be mixed with

let styles = new Map();

export function mode() {
  return form.elements.mode.value;
}

export function style() {
  return form.elements.style?.value ?? "";
}

/** Ask what is served, and show it. Keeps what is chosen. Returns whether there is anything to choose. */
export async function refresh() {
  const { models } = await getJson("models");
  const served = new Map(
    models.filter((each) => each.task === "stylize" && each.name !== HIDDEN).map((each) => [each.name, each.version]),
  );
  if (JSON.stringify([...served]) !== JSON.stringify([...styles])) {
    styles = served;
    fillGallery();
  }
  const factors = models.map((each) => /^x(\d+)$/.exec(each.name)).filter(Boolean).map((found) => Number(found[1]));
  fillFactors(factors.sort((a, b) => a - b));
  for (const [name, any] of [["stylize", styles.size], ["upscale", factors.length]]) {
    form.querySelector(`[value="${name}"]`).disabled = !any;
  }
  if (!styles.size && factors.length && mode() === "stylize") {
    form.querySelector('[value="upscale"]').checked = true;
  }
  changed();
  return styles.size + factors.length > 0;
}

/** The request: its path with query, relative to the page. Leaves out what is as it is anyway. */
export function request() {
  const query = mode() === "stylize" ? stylizing() : enlarging();
  const { format, quality, profile, metadata } = form.elements;
  add(query, "format", format.value);
  add(query, "quality", quality.value);
  add(query, "profile", profile.value);
  if (metadata.checked) query.push("metadata=keep");
  if ($("deadline").value) query.push(`deadline_ms=${Math.round(1000 * $("deadline").value)}`);
  return `${mode()}?${query.join("&")}`;
}

export function verb() {
  const factor = $("factor").value;
  return mode() === "stylize" ? "Paint" : `Enlarge${factor ? ` ${Number(factor)} times` : ""}`;
}

/** Mark what the server found wrong, and open where it is. */
export function mark(parameter) {
  const id = { style: "second", deadline_ms: "deadline" }[parameter] ?? parameter;
  const control = id && form.querySelector(`#${CSS.escape(id)}`);
  if (!control || control.closest("[hidden]")) return;
  control.setAttribute("aria-invalid", "true");
  control.closest("details")?.setAttribute("open", "");
}

export function unmark() {
  for (const control of form.querySelectorAll("[aria-invalid]")) control.removeAttribute("aria-invalid");
}

/** Call `then` at every change. */
export function watch(then) {
  form.addEventListener("input", () => {
    changed();
    then();
  });
}

function stylizing() {
  const second = $("second").value, share = Number($("share").value), query = [];
  const name = second && second !== style() ? `${style()}:${round(1 - share)},${second}:${round(share)}` : style();
  query.push(`style=${encodeURIComponent(name).replaceAll("%3A", ":").replaceAll("%2C", ",")}`);
  if ($("strength").value !== "1") query.push(`strength=${$("strength").value}`);
  if ($("preserve_color").checked) query.push("preserve_color=true");
  const stroke = $("stroke").value === "larger" ? $("stroke-times").value : $("stroke").value;
  if (stroke !== "auto") query.push(`stroke=${stroke}`);
  add(query, "max_side", $("max_side").value);
  return query;
}

function enlarging() {
  const query = [`factor=${encodeURIComponent($("factor").value)}`];
  if ($("detail").value !== "0") query.push(`detail=${$("detail").value}`);
  return query;
}

function add(query, name, value) {
  if (value) query.push(`${name}=${encodeURIComponent(value)}`);
}

function round(share) {
  return +share.toFixed(2);
}

function changed() {
  for (const part of form.querySelectorAll("[data-mode]")) part.hidden = part.dataset.mode !== mode();
  $("share-knob").hidden = !$("second").value;
  $("times-knob").hidden = $("stroke").value !== "larger";
  for (const range of form.querySelectorAll('input[type="range"]')) {
    const [low, high, at] = [range.min, range.max, range.value].map(Number);
    range.style.setProperty("--filled", `${(100 * (at - low)) / (high - low)}%`);
    const text = high === 1 ? percent(at) : `${at} times`;
    form.querySelector(`output[for="${range.id}"]`).value = text;
    range.setAttribute("aria-valuetext", text);
  }
  for (const button of $("factors").children) {
    button.setAttribute("aria-pressed", Number(button.value) === Number($("factor").value));
  }
  showCard();
}

function fillGallery() {
  const chosen = styles.has(style()) ? style() : (styles.keys().next().value ?? "");
  const second = $("second").value;
  $("gallery").replaceChildren(...[...styles].map(([name, version]) => tile(name, version, name === chosen)));
  $("second").replaceChildren(new Option("nothing", ""), ...[...styles.keys()].map((name) => new Option(title(name), name)));
  $("second").value = styles.has(second) ? second : "";
}

function tile(name, version, checked) {
  const label = document.createElement("label"), input = document.createElement("input");
  const image = new Image(), text = document.createElement("span");
  Object.assign(input, { type: "radio", name: "style", value: name, checked });
  // The version makes a swapped network's thumbnail another one.
  Object.assign(image, { alt: "", loading: "lazy", src: `models/stylize/${encodeURIComponent(name)}/thumbnail?v=${version.slice(7, 19)}` });
  image.addEventListener("error", () => image.removeAttribute("src")); // an empty frame rather than a broken one
  text.textContent = title(name);
  label.append(input, image, text);
  return label;
}

function fillFactors(factors) {
  if (factors.length) $("factor").max = factors.at(-1);
  $("factors").replaceChildren(
    ...factors.map((factor) => {
      const button = document.createElement("button");
      Object.assign(button, { type: "button", value: factor, textContent: `${factor}×` });
      button.setAttribute("aria-label", `${factor} times`);
      button.addEventListener("click", () => {
        $("factor").value = factor;
        $("factor").dispatchEvent(new Event("input", { bubbles: true }));
      });
      return button;
    }),
  );
}

let shown = "";
const cards = new Map();

async function showCard() {
  const name = style();
  if (mode() !== "stylize" || !name || name === shown) return;
  shown = name;
  try {
    if (!cards.has(name)) cards.set(name, (await getJson(`models/stylize/${encodeURIComponent(name)}`)).source);
    if (name === style()) $("card").textContent = cards.get(name) ?? "";
  } catch {
    $("card").textContent = ""; // a card is not worth an error
  }
}
