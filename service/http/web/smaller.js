// A smaller copy of a picture that is too large for the server, made in this browser.

import { fitting, reduced } from "./previews.js";
import { bytes, megapixels } from "./words.js";

const QUALITY = 0.92;

/** Why the server would not take a picture, in a sentence; "" if it does. */
export function tooLarge({ file, width, height }, limits) {
  const heavy = file.size > limits.max_body_bytes;
  if (!heavy && width * height <= limits.max_pixels) return "";
  const [has, most] = heavy
    ? [bytes(file.size), bytes(limits.max_body_bytes)]
    : [megapixels(width * height), megapixels(limits.max_pixels)];
  return `${file.name} has ${has}; this server takes at most ${most}.`;
}

/** A copy that the server takes, as a File; null if this browser cannot make one. */
export async function smaller(picture, limits) {
  let share = fitting(picture, 0.98 * limits.max_pixels), blob;
  do {
    blob = await reduced(picture.shown, picture, share, QUALITY);
    share *= 0.8;
  } while (blob && blob.size > limits.max_body_bytes && share > 0.01);
  return blob && new File([blob], picture.file.name.replace(/\.\w+$/, "") + ".jpg", { type: "image/jpeg" });
}
