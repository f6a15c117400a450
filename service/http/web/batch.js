// The pictures that were chosen: which of them are made, a few at once, past broken ones and through a restart of the
// server.

import { fileName, Lost, make, Refused } from "./server.js";
import { sentence } from "./words.js";

const MOST_AT_ONCE = 3;
const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 15_000;
const LATER = ["overloaded", "unavailable", "quota_exceeded", "request_timeout"];
const HOPELESS = ["unsupported_image", "broken_image", "body_too_large"]; // with any settings
const ANY = "any";

/**
 * The pictures: {file, folder, state, words, own, result, refused}. state: waiting, working, done or failed; words: why
 * it failed; own: the request of this one only; refused: the request that failed, or "any". Once a picture is opened, it
 * also has {shown, url, width, height}.
 */
export class Batch {
  /** show(picture): called when its state changes. replaced(result): called with a result that a new one replaces. */
  constructor(show, replaced) {
    Object.assign(this, { pictures: [], _show: show, _replaced: replaced });
  }

  get several() {
    return this.pictures.length > 1;
  }

  add(files) {
    const added = files.map((file) => ({ file, folder: folderOf(file), state: "waiting", words: "" }));
    this.pictures.push(...added);
    return added;
  }

  /** Forget a picture, and stop its work. */
  remove(picture) {
    this.pictures = this.pictures.filter((each) => each !== picture);
    picture.work?.abort();
  }

  /** Note that a picture cannot be made. path: the request; without one, no request can. */
  fail(picture, error, path = ANY) {
    const problem = error instanceof Refused ? error.problem : null;
    picture.refused = HOPELESS.includes(problem?.code) ? ANY : path;
    this._set(picture, "failed", problem ? sentence(problem, picture.file.name) : error.message);
  }

  /** The pictures without a result of their request, pathOf(picture). Those that failed with it are left out. */
  todo(pathOf) {
    return this.pictures.filter((each) => {
      const path = pathOf(each);
      return each.state !== "working" && each.result?.path !== path && ![path, ANY].includes(each.refused);
    });
  }

  /**
   * Make what todo() has, and what is added meanwhile. most: requests at once. tell: called with {done, all}, and with
   * {error, seconds} before another try. Throws an error that concerns all pictures, or an AbortError.
   */
  async run(pathOf, most, signal, tell) {
    const stop = new AbortController(), either = AbortSignal.any([signal, stop.signal]);
    for (const each of this.todo(pathOf)) this._set(each, "waiting");
    let done = 0;
    const next = () => this.todo(pathOf).find((each) => each.state === "waiting");
    const left = () => this.pictures.filter((each) => ["waiting", "working"].includes(each.state)).length;
    const count = () => tell({ done, all: done + left() });
    const work = async () => {
      for (let each = next(); each; each = next()) {
        const path = pathOf(each);
        try {
          await this._make(each, path, either, (status) => (status.error ? tell(status) : count()));
        } catch (error) {
          if (!this.pictures.includes(each)) continue; // removed
          const ends = error.name === "AbortError" || concernsAll(error);
          if (!ends) this.fail(each, error, path);
          else {
            this._set(each, each.result ? "done" : "waiting");
            stop.abort();
            throw error;
          }
        }
        done++;
        count();
      }
    };
    count();
    const ends = await Promise.allSettled(Array.from({ length: Math.max(1, Math.min(MOST_AT_ONCE, most)) }, work));
    const wrong = ends.filter((end) => end.status === "rejected").map((end) => end.reason);
    if (wrong.length) throw wrong.find((error) => error.name !== "AbortError") ?? wrong[0];
  }

  /** One picture; again and again while the server is away or busy. */
  async _make(picture, path, signal, tell) {
    picture.work = new AbortController();
    const either = AbortSignal.any([signal, picture.work.signal]);
    for (let rest = FIRST_WAIT_MS; ; rest = Math.min(LONGEST_WAIT_MS, 2 * rest)) {
      this._set(picture, "working");
      tell({});
      try {
        const result = await resultOf(path, picture, { signal: either, tell: () => {}, stream: false });
        if (picture.result) this._replaced(picture.result);
        picture.result = result;
        return this._set(picture, "done");
      } catch (error) {
        const { code, retry_after_seconds: asked } = error instanceof Refused ? error.problem : {};
        if (error instanceof Lost) await readable(picture.file); // a file that is gone looks like a server that is
        else if (!LATER.includes(code)) throw error;
        const milliseconds = Math.max(rest, 1000 * (asked ?? 0));
        tell({ error, seconds: Math.round(milliseconds / 1000) });
        await pause(milliseconds, either);
      }
    }
  }

  _set(picture, state, words = "") {
    Object.assign(picture, { state, words });
    this._show(picture);
  }
}

/** Make a picture, as server.make does: {blob, headers, url, path, picture, name, milliseconds}. */
export async function resultOf(path, picture, options) {
  const began = performance.now(), made = await make(path, picture.file, options);
  const result = { ...made, url: URL.createObjectURL(made.blob), path, picture, name: fileName(made.headers) };
  return { ...result, milliseconds: performance.now() - began };
}

async function readable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
  } catch {
    throw new Error(`${file.name} cannot be read any more.`);
  }
}

export function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(new DOMException("cancelled", "AbortError"));
    };
    const timer = setTimeout(resolve, milliseconds);
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop, { once: true });
  });
}

/** Whether the other pictures would fail alike: for want of a key, of the style, or of a right number. */
function concernsAll(error) {
  const { status, code } = error instanceof Refused ? error.problem : {};
  return status === 401 || status === 403 || code === "unknown_model" || code === "invalid_parameter";
}

function folderOf(file) {
  const path = file.folder ?? file.webkitRelativePath ?? "";
  return path.includes("/") ? path.slice(0, path.lastIndexOf("/")) : "";
}
