// Small paintings of the visitor's photograph: a preview at every change of a setting, a thumbnail for every style.
//
// The browser reduces the photograph once, so that the server decodes a few kilobytes for each.

import { pause } from "./batch.js";
import { ask, Lost, Refused } from "./server.js";
import { timings } from "./words.js";

const PREVIEW_PX = 640;
const THUMBNAIL_PX = 200;
const SETTLE_MS = 120;
const THUMBNAILS_AT_ONCE = 3;
const BUSY_MS = 1000;
const LOST_TIMES = 2; // a network that changes breaks what is under way

/** A smaller copy of an image file as a JPEG; null where this browser cannot decode it. share: of each side. */
export async function reduced(file, { width, height }, share, quality = 0.9) {
  const size = [width, height].map((side) => Math.max(1, Math.round(side * share)));
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { resizeWidth: size[0], resizeHeight: size[1], resizeQuality: "high" });
  } catch {
    return null;
  }
  const canvas = new OffscreenCanvas(...size), context = canvas.getContext("2d");
  context.fillStyle = "#fff"; // a JPEG has no transparency
  context.fillRect(0, 0, ...size);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return canvas.convertToBlob({ type: "image/jpeg", quality });
}

/** The share of each side that leaves at most `pixels` pixels and no side longer than `side`; at most 1. */
export function fitting({ width, height }, pixels, side = Infinity) {
  return Math.min(1, Math.sqrt(pixels / (width * height)), side / Math.max(width, height));
}

/** The previews of one photograph. */
export class Previews {
  /** picture: {shown, width, height}; shown: a Blob that this browser can decode. limits: of the server. */
  constructor(picture, { max_pixels: most, max_requests }) {
    this._atOnce = Math.max(1, Math.min(THUMBNAILS_AT_ONCE, max_requests - 2)); // the others are for the picture itself
    this.share = fitting(picture, most, PREVIEW_PX);
    this._small = reduced(picture.shown, picture, this.share);
    const share = fitting(picture, most, THUMBNAIL_PX);
    this._tiny = this._small.then((small) => small && reduced(small, picture, share, 0.85)); // a large one is decoded once
    this._life = new AbortController();
    this._urls = new Map();
  }

  /**
   * Ask for a preview with these settings once they rest; the request before it is cancelled. Null if it was; else
   * {blob, seconds}: what the network would take for the whole picture.
   */
  async paint(path) {
    this._current?.abort();
    const current = (this._current = new AbortController());
    const signal = AbortSignal.any([current.signal, this._life.signal]);
    try {
      await pause(SETTLE_MS, signal);
      const response = await painted(path, await this._small, signal);
      if (!response) return null;
      const [, spent] = timings(response.headers.get("Server-Timing")).find(([stage]) => stage === "forward") ?? [0, 0];
      return { blob: await response.blob(), seconds: spent / 1000 / this.share ** 2 };
    } catch (error) {
      if (error.name === "AbortError") return null;
      throw error;
    }
  }

  /** Forget what was asked last. */
  cancel() {
    this._current?.abort();
  }

  /** Paint a thumbnail in each style, a few at a time; show(name, url) as each is done. The rest stay as they are. */
  async thumbnails(names, show) {
    const left = names.filter((name) => !this._urls.has(name));
    const work = async () => {
      for (let name = left.shift(); name; name = left.shift()) {
        const path = `stylize?style=${encodeURIComponent(name)}&stroke=off&format=jpeg&quality=80`;
        const response = await painted(path, await this._tiny, this._life.signal);
        if (!response) return;
        this._urls.set(name, URL.createObjectURL(await response.blob()));
        show(name, this._urls.get(name));
      }
    };
    try {
      await Promise.all(Array.from({ length: this._atOnce }, work));
    } catch { // the bundled thumbnails stay; the preview says what is wrong
    }
  }

  /** Cancel everything. */
  close() {
    this._life.abort();
    for (const url of this._urls.values()) URL.revokeObjectURL(url);
  }
}

/** The answer to a small picture. A server that is busy is asked again after a while, one that is lost a few times. */
async function painted(path, small, signal) {
  if (!small) return null;
  for (let lost = 0; ; ) {
    const body = new FormData();
    body.append("image", small, "preview.jpg");
    try {
      return await ask(path, { method: "POST", body, signal });
    } catch (error) {
      const busy = error instanceof Refused && error.problem.status === 503;
      if (!busy && !(error instanceof Lost && ++lost <= LOST_TIMES)) throw error;
    }
    await pause(BUSY_MS, signal);
  }
}
