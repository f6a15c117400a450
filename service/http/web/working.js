// The line and the bar that say how far the work is, and the button that cancels it.

import * as compare from "./compare.js";
import { Lost } from "./server.js";
import { duration } from "./words.js";

const WORTH_S = 3; // a shorter time is not worth a word

const $ = (id) => document.getElementById(id);

/** Call stop() for the button that cancels, and for Escape. */
export function listen(stop) {
  $("cancel").addEventListener("click", stop);
  addEventListener("keydown", (event) => event.key === "Escape" && stop());
}

/** What the server says of the job. The line is read aloud, so it changes seldom. */
export function tell(status) {
  const { state, share, position, tiles_done, tiles_total, seconds_left } = status;
  $("cancel").dataset.state = state;
  if (state === "uploading") {
    say(share < 1 ? "Uploading" : "Waiting for the server");
    bar(share < 1 ? share : null);
  } else if (state === "queued") {
    say(`${position > 1 ? `In the queue: ${position - 1} before you` : "In the queue: you are next"}${left(seconds_left)}`);
    bar(null);
  } else if (state === "running") {
    say(`Working${left(seconds_left)}`);
    bar(tiles_total > 1 ? tiles_done / tiles_total : null);
  } else if (state === "done") {
    say("Fetching the picture");
    bar(null);
  }
}

let began = 0; // when a batch did

/** What hears of a batch: {done, all}, and {error, seconds} before another try. */
export function all() {
  began = performance.now();
  return ({ done, all, error, seconds }) => {
    if (error instanceof Lost) say(`Can't reach the server. Your pictures are still here; trying again in ${seconds} s.`);
    else if (error) say(`The server is busy or stopping; trying again in ${seconds} s.`);
    else {
      const spent = (performance.now() - began) / 1000;
      say(`${Math.min(done + 1, all)} of ${all}${left(done && (spent / done) * (all - done))}`);
      bar(done / all);
    }
  };
}

export function doneAll(pictures) {
  const failed = pictures.filter((each) => each.state === "failed").length;
  const rest = failed ? ` ${failed} failed: choose a marked one to see why.` : "";
  say(`Done in ${duration(performance.now() - began)}.${rest}`);
}

function left(seconds) {
  return seconds >= 2 ? `, about ${duration(1000 * Math.ceil(seconds / 5) * 5)} left` : "";
}

/** Say which picture is shown, and how long it would take: an estimate from its preview, where that is worth a word. */
export function describe({ file, width, height }, seconds = 0) {
  const takes = seconds >= WORTH_S ? `. Full size takes about ${duration(1000 * Math.ceil(seconds))}` : "";
  say(`${file.name}, ${width} × ${height}${takes}`);
}

/** Show or hide the bar; swap the button that starts for the one that cancels. all: what is shown is one of many. */
export function show(on, all = false) {
  const focused = [$("go"), $("cancel")].includes(document.activeElement) || document.activeElement === document.body;
  $("working").hidden = !on;
  $("go").hidden = on;
  $("cancel").hidden = !on;
  compare.busy(on && !all);
  if (on) bar(null);
  if (focused) (on ? $("cancel") : $("go")).focus({ preventScroll: true });
}

export function say(text) {
  if ($("status").textContent !== text) $("status").textContent = text;
}

function bar(share) {
  if (share === null) $("bar").removeAttribute("value");
  else $("bar").value = share;
}
