// Which part of the pictures is seen: by wheel, pinch, double click, drag and keys. All pictures move together.
//
// @panzoom/panzoom pinches in steps that do not follow the fingers, and d3-zoom is 40 kB: so it is written here.

const MOST_TIMES_ACTUAL = 8; // one pixel of the picture is at most 8 of the screen
const STEP = 1.5;
const CLOSER = 2.5; // by a double click
const PAN = 0.15; // of the frame, by an arrow key
const WHEEL = 0.002; // of the logarithm of the scale, for each pixel of the wheel
const WHEEL_REST_MS = 300;

/** The view of pictures that fill panes of one size. Scale 1 shows all of a picture. */
export class Zoom {
  /**
   * frame: the element that hears the events. pane(): the element that the picture fills at scale 1. show({scale, x,
   * y}): called at every change; x and y: the offset in widths and heights of the pane. holds(event): whether a pointer
   * has another task.
   */
  constructor(frame, pane, show, holds) {
    Object.assign(this, { _frame: frame, _pane: pane, _show: show, _holds: holds });
    this._pointers = new Map(); // id -> [x, y]
    this._wheeled = 0; // when the wheel last changed the scale
    this.width = 1;
    this._set(1, 0, 0);
    frame.addEventListener("wheel", (event) => this._wheel(event), { passive: false });
    frame.addEventListener("touchstart", (event) => event.touches.length > 1 && event.preventDefault(), { passive: false });
    frame.addEventListener("dblclick", (event) => this._doubleClick(event));
    frame.addEventListener("keydown", (event) => this._key(event));
    frame.addEventListener("pointerdown", (event) => this._down(event));
    frame.addEventListener("pointermove", (event) => this._move(event));
    for (const end of ["pointerup", "pointercancel"]) frame.addEventListener(end, ({ pointerId }) => this._pointers.delete(pointerId));
  }

  /** The scale at which one pixel of the picture is one (CSS) pixel of the screen. */
  get actual() {
    return this.width / Math.max(1, this._pane().getBoundingClientRect().width);
  }

  get isWhole() {
    return Math.abs(this.scale - 1) < 0.01;
  }

  get isActual() {
    return Math.abs(this.scale / this.actual - 1) < 0.01;
  }

  /** The picture has `width` pixels in a row. */
  measure(width) {
    this.width = width;
  }

  whole() {
    this._set(1, 0, 0);
  }

  /** Change the scale; the point of the pane, in shares of its sides, stays where it is. */
  to(scale, [px, py] = [0.5, 0.5]) {
    const least = Math.min(1, this.actual), most = Math.max(4, MOST_TIMES_ACTUAL * this.actual);
    const next = Math.min(most, Math.max(least, scale)), by = next / this.scale;
    this._set(next, px - (px - this.x) * by, py - (py - this.y) * by);
  }

  in() {
    this.to(this.scale * STEP);
  }

  out() {
    this.to(this.scale > 1 ? Math.max(1, this.scale / STEP) : this.scale / STEP);
  }

  /** Move the pictures by shares of the pane. */
  pan(dx, dy) {
    this._set(this.scale, this.x + dx, this.y + dy);
  }

  _set(scale, x, y) {
    const kept = (at) => (scale < 1 ? (1 - scale) / 2 : Math.min(0, Math.max(1 - scale, at))); // no bare edge
    Object.assign(this, { scale, x: kept(x), y: kept(y) });
    this._show(this);
  }

  /** Where a point of the screen is, in shares of the pane. Of panes side by side, either one. */
  _at(clientX, clientY) {
    const frame = this._frame.getBoundingClientRect(), { width, height } = this._pane().getBoundingClientRect();
    const x = clientX - frame.left, right = frame.width - width; // where a second pane begins
    return [(right > 1 && x > width ? x - right : x) / width, (clientY - frame.top) / height];
  }

  _wheel(event) {
    const { deltaY, deltaMode, ctrlKey, timeStamp } = event; // ctrlKey: a pinch on a touch pad
    const closer = deltaY < 0, rests = timeStamp - this._wheeled > WHEEL_REST_MS;
    if (!ctrlKey && this.isWhole && rests && (!closer || scrollY > 0)) return; // it scrolls the page
    event.preventDefault();
    this._wheeled = timeStamp;
    if (!closer && this.scale <= 1) return;
    const pixels = deltaY * (deltaMode ? 16 : 1) * (ctrlKey ? 4 : 1);
    const next = this.scale * Math.exp(-WHEEL * Math.max(-300, Math.min(300, pixels)));
    this.to(closer ? next : Math.max(1, next), this._at(event.clientX, event.clientY));
  }

  _doubleClick(event) {
    if (this._holds(event)) return;
    if (!this.isWhole) this.whole();
    else this.to(Math.max(CLOSER, this.actual), this._at(event.clientX, event.clientY));
  }

  _key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const arrow = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (arrow && (event.shiftKey || event.target === this._frame)) {
      if (this.scale <= 1) return;
      this.pan(PAN * arrow[0], PAN * arrow[1]);
    } else if (["+", "="].includes(event.key)) this.in();
    else if (["-", "_"].includes(event.key)) this.out();
    else if (event.key === "0") this.whole();
    else if (event.key === "1") this.to(this.actual);
    else return;
    event.preventDefault();
  }

  _down(event) {
    if (event.button) return;
    this._pointers.set(event.pointerId, [event.clientX, event.clientY]);
    if (this._pointers.size > 1 || (this.scale > 1 && !this._holds(event))) this._frame.setPointerCapture(event.pointerId);
  }

  _move(event) {
    const before = this._pointers.get(event.pointerId);
    if (!before) return;
    const now = [event.clientX, event.clientY], { width, height } = this._pane().getBoundingClientRect();
    const other = [...this._pointers].find(([id]) => id !== event.pointerId)?.[1];
    this._pointers.set(event.pointerId, now);
    if (other) {
      const apart = (point) => Math.max(1, Math.hypot(point[0] - other[0], point[1] - other[1]));
      this.to(this.scale * (apart(now) / apart(before)), this._at((now[0] + other[0]) / 2, (now[1] + other[1]) / 2));
    } else if (this.scale <= 1 || this._holds(event)) return;
    const share = other ? 2 : 1; // the middle of two fingers moves half as far
    this.pan((now[0] - before[0]) / share / width, (now[1] - before[1]) / share / height);
  }

  /** Whether two fingers or more are down. */
  get isPinched() {
    return this._pointers.size > 1;
  }
}
