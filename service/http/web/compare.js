// Before and after, one over the other, with a line between them: by pointer, by touch, by keyboard.

const $ = (id) => document.getElementById(id);
const figure = $("compare"), frame = $("frame"), scroller = $("scroller"), line = $("line"), divide = $("divide");
const before = $("before"), after = $("after");

let size = { width: 1, height: 1 };

/** Show a picture alone: {url, width, height}. */
export function showAlone(picture) {
  before.src = picture.url;
  before.alt = "Your picture";
  after.removeAttribute("src");
  set(picture);
  figure.classList.replace("compared", "alone") || figure.classList.add("alone");
  actual(false);
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

/** Show only the original while this button is held, by pointer or by keyboard. */
export function holdBy(button) {
  const held = (on) => figure.classList.toggle("held", on);
  button.addEventListener("pointerdown", (event) => {
    button.setPointerCapture(event.pointerId);
    held(true);
  });
  button.addEventListener("keydown", (event) => [" ", "Enter"].includes(event.key) && held(true));
  for (const end of ["pointerup", "pointercancel", "keyup", "blur"]) button.addEventListener(end, () => held(false));
  button.addEventListener("contextmenu", (event) => event.preventDefault()); // a long touch
}

/** Show both pictures whole, one beside the other. */
export function beside(on) {
  figure.classList.toggle("beside", on);
  cut();
}

/** Whether one pixel of the picture is one of the screen's (CSS) pixels, with bars to scroll. */
export function actual(on) {
  figure.classList.toggle("actual", on);
  if (on) {
    scroller.scrollLeft = (size.width - frame.clientWidth) / 2;
    scroller.scrollTop = (size.height - frame.clientHeight) / 2;
  }
  cut();
}

/** Whether there is more to see than fits. */
export function isLarger() {
  return size.width > frame.clientWidth * 1.02;
}

export function busy(on) {
  figure.classList.toggle("busy", on);
  figure.setAttribute("aria-busy", on);
}

function set(picture) {
  size = picture;
  figure.style.setProperty("--ratio", picture.width / picture.height);
  figure.style.setProperty("--wide", `${picture.width}px`);
  figure.style.setProperty("--high", `${picture.height}px`);
}

function cut() {
  const share = divide.value / 100;
  figure.style.setProperty("--at", divide.value);
  figure.style.setProperty("--cut", `${scroller.scrollLeft + share * frame.clientWidth}px`);
  divide.setAttribute("aria-valuetext", `${Math.round(divide.value)} % before, ${Math.round(100 - divide.value)} % after`);
}

function drag(event) {
  const box = frame.getBoundingClientRect();
  divide.value = (100 * (event.clientX - box.left)) / box.width;
  cut();
}

function grab(event) {
  if (!figure.classList.contains("compared") || figure.classList.contains("beside") || event.button) return;
  if (figure.classList.contains("actual") && !line.contains(event.target)) return; // there it scrolls
  event.preventDefault();
  divide.focus({ preventScroll: true, focusVisible: false });
  frame.setPointerCapture(event.pointerId);
  frame.addEventListener("pointermove", drag);
  drag(event);
}

function release() {
  frame.removeEventListener("pointermove", drag);
}

frame.addEventListener("pointerdown", grab);
frame.addEventListener("pointerup", release);
frame.addEventListener("pointercancel", release);
scroller.addEventListener("scroll", cut);
divide.addEventListener("input", cut);
new ResizeObserver(cut).observe(frame);
