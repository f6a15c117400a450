// Before and after, one over the other, with a line between them, or side by side: by pointer, by touch, by keyboard.

import { Zoom } from "./zoom.js";

const $ = (id) => document.getElementById(id);
const figure = $("compare"), frame = $("frame"), line = $("line"), divide = $("divide");
const before = $("before"), after = $("after");
const MOVED_PX = 3; // less is a click

let grabbed = null; // {id, x, moved} of the pointer that moves the line
const zoom = new Zoom(frame, () => $("before-pane"), place, () => grabbed !== null);

/** Show a picture alone: {url, width, height}. */
export function showAlone(picture) {
  before.src = picture.url;
  before.alt = "Your picture";
  after.removeAttribute("src");
  set(picture);
  figure.classList.replace("compared", "alone") || figure.classList.add("alone");
  zoom.whole();
  figure.hidden = false;
}

/** Show a result over what it was made of. tag: what stands in its corner. The line stays where it was moved to. */
export function showBoth(result, description, tag) {
  after.src = result.url;
  after.alt = description;
  before.alt = "Before";
  $("after-tag").textContent = tag;
  set(result);
  figure.classList.replace("alone", "compared");
  cut();
}

/** Change what stands in the corner of the result. */
export function tag(text) {
  $("after-tag").textContent = text;
}

/** Connect the buttons. */
export function listen() {
  hold($("hold"));
  $("beside").addEventListener("click", () => {
    const on = figure.classList.toggle("beside");
    $("beside").setAttribute("aria-pressed", on);
    zoom.whole();
    cut();
  });
  $("closer").addEventListener("click", () => zoom.in());
  $("farther").addEventListener("click", () => zoom.out());
  $("whole").addEventListener("click", () => zoom.whole());
  $("actual").addEventListener("click", () => (zoom.isActual ? zoom.whole() : zoom.to(zoom.actual)));
}

/** Show one pixel of the picture as one of the screen's (CSS) pixels, if there is more to see than fits. */
export function actualIfLarger() {
  if (zoom.actual > 1.02) zoom.to(zoom.actual);
}

/** Show all of the picture. */
export function whole() {
  zoom.whole();
}

export function busy(on) {
  figure.classList.toggle("busy", on);
  figure.setAttribute("aria-busy", on);
}

/** Show only the original while this button is held, by pointer or by keyboard. */
function hold(button) {
  const held = (on) => figure.classList.toggle("held", on);
  button.addEventListener("pointerdown", (event) => {
    button.setPointerCapture(event.pointerId);
    held(true);
  });
  button.addEventListener("keydown", (event) => [" ", "Enter"].includes(event.key) && held(true));
  for (const end of ["pointerup", "pointercancel", "keyup", "blur"]) button.addEventListener(end, () => held(false));
  button.addEventListener("contextmenu", (event) => event.preventDefault()); // a long touch
}

function set(picture) {
  zoom.measure(picture.width);
  figure.style.setProperty("--ratio", picture.width / picture.height);
  place(zoom);
}

function place({ scale, x, y, isWhole, isActual }) {
  figure.style.setProperty("--scale", scale);
  figure.style.setProperty("--x", `${100 * x}%`);
  figure.style.setProperty("--y", `${100 * y}%`);
  figure.classList.toggle("closer", scale > 1);
  $("whole").disabled = isWhole;
  $("actual").setAttribute("aria-pressed", isActual && !isWhole);
}

function cut() {
  figure.style.setProperty("--at", divide.value);
  divide.setAttribute("aria-valuetext", `${Math.round(divide.value)} % before, ${Math.round(100 - divide.value)} % after`);
}

function grab(event) {
  frame.focus({ preventScroll: true, focusVisible: false });
  const both = figure.classList.contains("compared") && !figure.classList.contains("beside");
  if (!both || event.button || grabbed) return;
  if (!zoom.isWhole && !line.contains(event.target)) return; // there the pictures move
  grabbed = { id: event.pointerId, x: event.clientX, moved: line.contains(event.target) };
  divide.focus({ preventScroll: true, focusVisible: false });
}

function drag(event) {
  if (event.pointerId !== grabbed?.id) return;
  if (zoom.isPinched) return release(event);
  if (!grabbed.moved && Math.abs(event.clientX - grabbed.x) < MOVED_PX) return;
  if (!grabbed.moved) frame.setPointerCapture(event.pointerId);
  grabbed.moved = true;
  const box = frame.getBoundingClientRect();
  divide.value = (100 * (event.clientX - box.left)) / box.width;
  cut();
}

function release(event) {
  if (event.pointerId === grabbed?.id) grabbed = null;
}

line.addEventListener("pointerdown", (event) => frame.setPointerCapture(event.pointerId));
frame.addEventListener("pointerdown", grab, { capture: true });
frame.addEventListener("pointermove", drag);
frame.addEventListener("pointerup", release);
frame.addEventListener("pointercancel", release);
frame.addEventListener("mousedown", (event) => event.preventDefault()); // it would drag the image, and move the focus
divide.addEventListener("input", cut);
cut();
