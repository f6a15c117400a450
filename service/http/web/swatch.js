// The colours of a style, taken from a picture that was painted in it.

const COLOURS = 5;
const SAMPLE = [24, 16]; // pixels of the copy that is looked at
const ROUNDS = 6;

/** The strongest colours of an image, from dark to light, as CSS. */
export function coloursOf(image) {
  const canvas = new OffscreenCanvas(...SAMPLE), context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0, ...SAMPLE);
  const { data } = context.getImageData(0, 0, ...SAMPLE), pixels = [];
  for (let at = 0; at < data.length; at += 4) pixels.push([data[at], data[at + 1], data[at + 2]]);
  return means(pixels)
    .sort((a, b) => light(a) - light(b))
    .map((colour) => `rgb(${colour.map(Math.round).join(" ")})`);
}

/** k-means, from pixels that are evenly apart in lightness. */
function means(pixels) {
  const sorted = pixels.toSorted((a, b) => light(a) - light(b));
  let centres = Array.from({ length: COLOURS }, (_, at) => sorted[Math.floor(((at + 0.5) * sorted.length) / COLOURS)]);
  for (let round = 0; round < ROUNDS; round++) {
    const groups = centres.map(() => []);
    for (const pixel of pixels) groups[nearest(pixel, centres)].push(pixel);
    centres = groups.map((group, at) => (group.length ? mean(group) : centres[at]));
  }
  return centres;
}

function nearest(pixel, centres) {
  const distances = centres.map((centre) => centre.reduce((sum, value, at) => sum + (value - pixel[at]) ** 2, 0));
  return distances.indexOf(Math.min(...distances));
}

function mean(group) {
  return [0, 1, 2].map((at) => group.reduce((sum, pixel) => sum + pixel[at], 0) / group.length);
}

function light([red, green, blue]) {
  return 0.3 * red + 0.6 * green + 0.1 * blue;
}
