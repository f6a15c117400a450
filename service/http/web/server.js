// What the page asks of the server: models, limits, and jobs and styles from the upload to the answer.

/** The server said no. `problem` is its problem+json. */
export class Refused extends Error {
  constructor(problem) {
    super(problem.detail);
    this.problem = problem;
  }
}

/** No answer came: the server is gone, or the network is. */
export class Lost extends Error {}

const TRIES = 4;
const TRY_AGAIN_MS = 800;
const ASK_FIRST_MS = 100;
const FIRST = ["queued", "running", "learning"];
const LAST = ["done", "ready", "failed", "cancelled"];

const KEY = "impasto-key";

/** The key that was typed in this tab; "" for none. */
export function key() {
  return sessionStorage.getItem(KEY) ?? "";
}

export function setKey(value) {
  sessionStorage.setItem(KEY, value.trim());
}

function headers() {
  return key() ? { "X-API-Key": key() } : {};
}

export async function getJson(path) {
  return (await ask(path)).json();
}

/**
 * Send a picture and wait for its answer: {blob, headers}. Throws Refused, Lost, or an AbortError once `signal` is
 * aborted; then the job is deleted, so that nothing more of it is computed.
 *
 * tell: is called with {state: "uploading", share} and then with what GET /jobs/{id} says. stream: false leaves the
 * browser's few connections to others, and asks now and then.
 */
export async function make(path, file, { signal, tell, stream = true }) {
  try {
    return await makeAsJob(path, file, signal, tell, stream);
  } catch (error) {
    if (error.problem?.code !== "unknown_job" || signal.aborted) throw error;
    // Another replica was asked, or the server was started again: then in line, which needs no memory of its own.
    tell({ state: "running", tiles_total: 0 });
    return await received(await ask(path, { method: "POST", body: form(file), signal }));
  }
}

async function makeAsJob(path, file, signal, tell, stream) {
  const job = await upload(path, file, signal, tell);
  const forget = () => fetch(job, { method: "DELETE", keepalive: true, headers: headers() }).catch(() => {});
  signal.addEventListener("abort", forget);
  addEventListener("pagehide", forget);
  try {
    const status = await follow(job, signal, tell, stream);
    if (status.state === "failed") throw new Refused(status.problem);
    if (status.state === "cancelled") throw new Refused({ detail: "the job was cancelled", code: "cancelled" });
    const made = await received(await ask(`${job}/result`, { signal }));
    forget();
    return made;
  } finally {
    signal.removeEventListener("abort", forget);
    removeEventListener("pagehide", forget);
  }
}

/** The name that the server gives a result. */
export function fileName(headers) {
  const header = headers.get("Content-Disposition") ?? "";
  const full = /filename\*=UTF-8''([^;]+)/.exec(header), plain = /filename="([^"]+)"/.exec(header);
  return full ? decodeURIComponent(full[1]) : (plain?.[1] ?? "picture");
}

/** The picture itself, in a format that every browser shows. */
export async function readable(file, signal) {
  return (await ask("upscale?factor=1&format=png", { method: "POST", body: form(file), signal })).blob();
}

function form(file) {
  const body = new FormData();
  body.append("image", file);
  return body;
}

async function received(response) {
  try {
    return { blob: await response.blob(), headers: response.headers };
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Lost("the server broke off in the middle of its answer");
  }
}

export async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: headers() });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Lost("the server does not answer");
  }
  if (!response.ok) throw new Refused(await problemOf(response.text(), response));
  return response;
}

async function problemOf(text, { status, statusText }) {
  try {
    return { status, ...JSON.parse(await text) };
  } catch {
    return { detail: `${status} ${statusText}`, code: "", status };
  }
}

/**
 * POST with Prefer: respond-async; the path of the job, or of the style. XMLHttpRequest, since fetch does not tell how
 * far it is. tell: as for make.
 */
export function upload(path, file, signal, tell) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    request.setRequestHeader("Prefer", "respond-async");
    for (const [name, value] of Object.entries(headers())) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => tell({ state: "uploading", share: event.loaded / event.total });
    request.onload = async () => {
      if (request.status === 202) resolve(relative(request.getResponseHeader("Location")));
      else reject(new Refused(await problemOf(request.responseText, request)));
    };
    request.onerror = () => reject(new Lost("the server does not answer, or broke off"));
    request.onabort = () => reject(new DOMException("cancelled", "AbortError"));
    signal.addEventListener("abort", () => request.abort());
    request.send(form(file));
  });
}

/** A path of the server, relative to the page, which a proxy may have moved. */
export function relative(path) {
  return path.replace(/^.*\/(?=(jobs|styles)\/)/, "");
}

/** The events of a job, or of a style, to the end; the last status. A stream that breaks is taken up again by asking. */
export function follow(job, signal, tell, stream = true) {
  return new Promise((resolve, reject) => {
    const events = key() || !stream ? null : new EventSource(`${job}/events`); // it can send no headers
    let failures = 0, rest = ASK_FIRST_MS;
    const end = (settle, value) => {
      events?.close();
      settle(value);
    };
    const hear = (event) => {
      failures = 0;
      const status = JSON.parse(event.data);
      tell(status);
      if (LAST.includes(status.state)) end(resolve, status);
    };
    const poll = async () => {
      events?.close();
      while (!signal.aborted) {
        try {
          const status = await getJson(job);
          failures = 0;
          tell(status);
          if (LAST.includes(status.state)) return end(resolve, status);
        } catch (error) {
          if (error instanceof Refused || ++failures >= TRIES) return end(reject, error);
        }
        await new Promise((wake) => setTimeout(wake, rest));
        rest = Math.min(TRY_AGAIN_MS, 1.5 * rest);
      }
    };
    for (const state of [...FIRST, ...LAST]) events?.addEventListener(state, hear);
    if (events) events.onerror = poll;
    else poll();
    signal.addEventListener("abort", () => end(reject, new DOMException("cancelled", "AbortError")));
  });
}
