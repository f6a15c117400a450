// The live preview of the picture that is shown, and its thumbnails in every style.

import * as compare from "./compare.js";
import * as gallery from "./gallery.js";
import * as outcome from "./outcome.js";
import { Previews } from "./previews.js";
import { Lost } from "./server.js";
import * as settings from "./settings.js";
import { title } from "./words.js";

let picture = null; // {shown, width, height}
let previews = null;
let preview = null; // {url, width, height}
let blocked = () => false;
let [fail, describe] = [() => {}, () => {}];

/**
 * Ask blocked() before a preview is shown, call failed(error) when the visitor has to do something, and estimate(picture,
 * seconds) with the time that the whole picture may take.
 */
export function listen(isBlocked, failed, estimate) {
  [blocked, fail, describe] = [isBlocked, failed, estimate];
}

/** Begin with another picture. limits: of the server. */
export function begin(next, limits) {
  previews?.close();
  picture = next;
  preview = null;
  previews = new Previews(picture, limits);
  gallery.reset();
}

export function cancel() {
  previews?.cancel();
}

/** Whether a preview is shown. */
export function isShown() {
  return preview !== null && settings.mode() === "stylize";
}

/** The preview first, unless a result is shown; then the thumbnails, which are many. */
export async function renew() {
  const current = previews;
  if (outcome.shown()?.picture !== picture) await repaint();
  if (current === previews && settings.mode() === "stylize") current.thumbnails(settings.names(), gallery.repaint);
}

/** Paint a preview; until it is there, what is shown is marked as out of date. */
export async function repaint() {
  const current = previews;
  if (outcome.shown()) {
    outcome.hide();
    compare.tag("Earlier settings");
  }
  if (settings.mode() !== "stylize" || !settings.style()) return current.cancel();
  const name = title(settings.style());
  try {
    if (preview) compare.tag("Painting");
    const made = await current.paint(settings.previewRequest(picture, current.share));
    if (!made || current !== previews || blocked() || outcome.shown()) return;
    if (preview) URL.revokeObjectURL(preview.url);
    preview = { url: URL.createObjectURL(made.blob), width: picture.width, height: picture.height };
    describe(picture, made.seconds);
    compare.showBoth(preview, `Preview in the style ${name}`, `Preview: ${name}`);
  } catch (error) {
    if (current !== previews || blocked()) return;
    if (preview) compare.tag("No preview");
    if (error instanceof Lost || [401, 404].includes(error.problem?.status)) fail(error);
  }
}
