// The controls: filled from what is served, read into a request.

import { check, listen, wrong } from "./fields.js";
import * as gallery from "./gallery.js";
import { getJson } from "./server.js";
import { percent, title } from "./words.js";

const $ = (id) => document.getElementById(id);
const form = $("settings");
const HIDDEN = "neutral"; // it gives photographs back, and is there to be mixed with

let styles = new Map(); // name -> version
let choose = () => {};

export function mode() {
  return form.elements.mode.value;
}

export function style() {
  return form.elements.style?.value ?? "";
}

/** Ask what is served, and show it. Keeps what is chosen. any: is there something to choose? renewed: are the styles others? */
export async function refresh() {
  const { models } = await getJson("models");
  let renewed = false;
  const served = new Map(
    models.filter((each) => each.task === "stylize" && each.name !== HIDDEN).map((each) => [each.name, each.version]),
  );
  if (JSON.stringify([...served]) !== JSON.stringify([...styles])) {
    styles = served;
    fillGallery();
    renewed = true;
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
  return { any: styles.size + factors.length > 0, renewed };
}

/** Offer the formats that the server gives. */
export function offer(formats) {
  for (const format of formats) $("format").append(new Option(format.toUpperCase(), format));
}

/** The request: its path with query, relative to the page. Leaves out what is as it is anyway. */
export function request() {
  const query = mode() === "stylize" ? stylizing() : enlarging();
  const { format, quality, lossless, profile, metadata } = form.elements;
  add(query, "format", format.value);
  add(query, "quality", quality.value);
  if (lossless.checked && !lossless.disabled) query.push("lossless=true");
  add(query, "profile", profile.value);
  if (metadata.checked) query.push("metadata=keep");
  if ($("deadline").value) query.push(`deadline_ms=${Math.round(1000 * $("deadline").value)}`);
  return `${mode()}?${query.join("&")}`;
}

/** The request for a preview whose sides are `share` of the photograph's, (width, height); without what it would hide. */
export function previewRequest({ width, height }, share) {
  const query = stylizing().filter((each) => !/^(max_side|stroke)=/.test(each));
  const stroke = $("stroke").value === "larger" ? Number($("stroke-times").value) : 1;
  const reduced = Math.min(1, Number($("max_side").value || Infinity) / Math.max(width, height));
  if (stroke > 1) query.push(`stroke=${Math.max(1, Math.min(8, (stroke * share) / reduced)).toFixed(2)}`);
  return `stylize?${query.join("&")}&format=jpeg&quality=88`;
}

/** The names of the styles. */
export function names() {
  return [...styles.keys()];
}

/** Call `then` with the style that is clicked on the wall. */
export function onWall(then) {
  choose = then;
}

/** What the button does. count: of the pictures that are left, where there are several; else null. */
export function verb(count) {
  if (count === 0) return "Download all as a ZIP";
  const what = count === null ? "" : count === 1 ? " 1 picture" : ` ${count} pictures`;
  if (mode() === "stylize") return what ? `Paint${what}` : "Paint in full size";
  const factor = $("factor").value;
  return `Enlarge${what}${factor ? ` ${Number(factor)} times` : ""}`;
}

/** The size of the enlarged picture, and the largest factor for it if that is limited. */
export function size(picture, most) {
  const factor = Number($("factor").value);
  if (!picture || factor < 1) return "";
  const sides = [picture.width, picture.height], becomes = sides.map((side) => Math.round(side * factor));
  return `${sides.join(" × ")} becomes ${becomes.join(" × ")}${most ? `. At most ${most} times for this picture.` : ""}`;
}

/** Set the controls as a request has them: the reverse of request(). Ignores what it does not know. */
export function restore(path) {
  const [task, query] = path.split("?"), asked = new URLSearchParams(query);
  if (!["stylize", "upscale"].includes(task)) return;
  form.elements.mode.value = task;
  for (const id of ["strength", "factor", "detail", "source", "max_side", "format", "quality", "profile"]) {
    const value = asked.get(id) === "max" ? $("factor").max : asked.get(id);
    $(id).value = value ?? $(id).getAttribute("value") ?? "";
  }
  for (const [id, value] of [["preserve_color", "true"], ["lossless", "true"], ["metadata", "keep"]]) {
    $(id).checked = asked.get(id) === value;
  }
  $("deadline").value = asked.has("deadline_ms") ? asked.get("deadline_ms") / 1000 : "";
  const stroke = asked.get("stroke") ?? "auto";
  $("stroke").value = Number(stroke) ? "larger" : stroke;
  if (Number(stroke)) $("stroke-times").value = stroke;
  const [first, second] = (asked.get("style") ?? "").split(",").map((each) => each.split(":"));
  if (styles.has(first[0])) pick(first[0]);
  $("second").value = second && styles.has(second[0]) ? second[0] : "";
  if (second) $("share").value = second[1] ?? 0.5;
  changed();
}

/** Choose a style. */
export function pick(name) {
  const input = form.querySelector(`input[name="style"][value="${CSS.escape(name)}"]`);
  if (input) input.checked = true;
  changed();
}

/** Offer the factors whose result is within the limits, also together with the picture. */
export function limitFactor(picture, { max_output_pixels, max_pixels_in_flight }) {
  const pixels = picture ? picture.width * picture.height : 0;
  const most = pixels ? Math.sqrt(Math.min(max_output_pixels, max_pixels_in_flight - pixels) / pixels) : Infinity;
  for (const button of $("factors").children) button.disabled = Number(button.value) > most;
  const factors = [...$("factors").children].map((each) => Number(each.value));
  const largest = Math.max(0, ...factors); // a factor between two networks needs the room of the larger one
  if (largest) $("factor").max = Math.max(1, ...factors.filter((each) => each <= most));
  if ($("factor").hasAttribute("aria-invalid") || $("factor").validity.rangeOverflow) check($("factor"));
  return most < largest ? Number($("factor").max) : null;
}

/** The first number that is wrong: {field, label, words}; marks it. */
export function invalid() {
  return wrong(form);
}

/** Mark what the server found wrong, and open where it is. */
export function mark(parameter) {
  const id = { style: "second", deadline_ms: "deadline" }[parameter] ?? parameter;
  const control = id && form.querySelector(`#${CSS.escape(id)}`);
  if (!control || control.closest("[hidden]")) return;
  control.setAttribute("aria-invalid", "true");
  control.closest("details")?.setAttribute("open", "");
}

/** Leave only the marks of numbers that are wrong now. */
export function unmark() {
  for (const control of form.querySelectorAll("[aria-invalid]")) {
    if (control.type === "number") check(control);
    else control.removeAttribute("aria-invalid");
  }
}

/** Call `then` with the event at every change. */
export function watch(then) {
  listen(form);
  $("largest").addEventListener("click", () => setFactor($("factor").max));
  form.addEventListener("input", (event) => {
    changed();
    then(event);
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
  add(query, "source", $("source").value);
  return query;
}

function add(query, name, value) {
  if (value) query.push(`${name}=${encodeURIComponent(value)}`);
}

function round(share) {
  return +share.toFixed(2);
}

function changed() {
  for (const part of form.querySelectorAll("[data-mode], [data-only]")) {
    part.hidden = (part.dataset.mode ?? part.dataset.only) !== mode();
  }
  const format = $("format").value, without = $("lossless");
  without.disabled = format !== "" && !without.dataset.formats.split(" ").includes(format);
  $("share-setting").hidden = !$("second").value;
  $("times-setting").hidden = $("stroke").value !== "larger";
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
  gallery.fill(styles, chosen, (name) => choose(name)).then(showCard);
  $("second").replaceChildren(new Option("nothing", ""), ...[...styles.keys()].map((name) => new Option(title(name), name)));
  $("second").value = styles.has(second) ? second : "";
}

function fillFactors(factors) {
  if ($("factors").childElementCount === factors.length) return; // as it is: a limit may be set on it
  if (factors.length) $("factor").max = $("most-times").textContent = factors.at(-1);
  $("factors").replaceChildren(
    ...factors.map((factor) => {
      const button = document.createElement("button");
      Object.assign(button, { type: "button", value: factor, textContent: `${factor}×` });
      button.setAttribute("aria-label", `${factor} times`);
      button.addEventListener("click", () => setFactor(factor));
      return button;
    }),
  );
}

function setFactor(factor) {
  $("factor").value = factor;
  $("factor").dispatchEvent(new Event("input", { bubbles: true }));
}

function showCard() {
  $("card").textContent = gallery.source(styles.get(style())) || "";
}
