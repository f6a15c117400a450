// The line and the bar that say how far the work is, and the button that cancels it.

import * as compare from "./compare.js";
import { duration } from "./words.js";

const $ = (id) => document.getElementById(id);

/** What the server says of the job. The line is read aloud, so it changes seldom. */
export function tell(status) {
  const { state, share, position, tiles_done, tiles_total, seconds_left } = status;
  $("cancel").dataset.state = state;
  if (state === "uploading") {
    say(share < 1 ? "Uploading" : "Waiting for the server");
    bar(share < 1 ? share : null);
  } else if (state === "queued") {
    say(position > 1 ? `In the queue: ${position - 1} before you` : "In the queue: you are next");
    bar(null);
  } else if (state === "running") {
    const left = seconds_left >= 2 ? `, about ${duration(1000 * Math.ceil(seconds_left / 5) * 5)} left` : "";
    say(`Working${left}`);
    bar(tiles_total > 1 ? tiles_done / tiles_total : null);
  } else if (state === "done") {
    say("Fetching the picture");
    bar(null);
  }
}

/** Show or hide the bar; swap the button that starts for the one that cancels. */
export function show(on) {
  const focused = [$("go"), $("cancel")].includes(document.activeElement) || document.activeElement === document.body;
  $("working").hidden = !on;
  $("go").hidden = on;
  $("cancel").hidden = !on;
  compare.busy(on);
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
