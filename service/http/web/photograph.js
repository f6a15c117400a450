// The ways in: choose, drop, paste, camera; and what a file is.

import { Lost, readable, Refused } from "./server.js";
import { bytes } from "./words.js";

const $ = (id) => document.getElementById(id);

/** Call choose(files) for the files of the dialogue, of the camera, dropped anywhere, or pasted. */
export function listen(choose) {
  for (const input of [$("file"), $("camera")]) {
    input.addEventListener("change", () => {
      if (input.files.length) choose([...input.files]);
      input.value = ""; // the same file may be chosen again
    });
  }
  $("another").addEventListener("click", () => $("file").click());
  addEventListener("paste", (event) => event.clipboardData?.files.length && choose(event.clipboardData.files));
  let depth = 0;
  const dragging = (on) => document.body.classList.toggle("dragging", on);
  addEventListener("dragenter", () => dragging(++depth > 0));
  addEventListener("dragleave", () => dragging(--depth > 0));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    const taken = event.defaultPrevented; // as a painting
    event.preventDefault();
    depth = 0;
    dragging(false);
    if (!taken && event.dataTransfer.files.length) choose(event.dataTransfer.files);
  });
}

/**
 * {file, shown, url, width, height} of a file; shown: the same picture in a format that this browser decodes. Throws an
 * Error in words for people, Refused or Lost.
 */
export async function opened(file, mostBytes) {
  const found = await shown(file).catch(() => null);
  if (found) return { file, ...found };
  if (!file.size) throw new Error(`${file.name} is empty.`);
  if (file.size > mostBytes) {
    throw new Error(`${file.name} has ${bytes(file.size)}; this server takes at most ${bytes(mostBytes)}.`);
  }
  try { // a TIFF, say; or none at all: then the server says what it is
    return { file, ...(await shown(await readable(file))) };
  } catch (error) {
    throw error instanceof Refused || error instanceof Lost ? error : new Error(`${file.name} cannot be shown here.`);
  }
}

async function shown(blob) {
  const url = URL.createObjectURL(blob);
  try {
    return { shown: blob, url, ...(await measured(url)) };
  } catch (error) {
    URL.revokeObjectURL(url);
    throw error;
  }
}

/** {width, height} of an image that the browser can show. */
export async function measured(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  return { width: image.naturalWidth, height: image.naturalHeight };
}
