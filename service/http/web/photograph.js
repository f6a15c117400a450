// The ways in: choose, drop, paste, camera, folders; and what a file is.

import { Lost, readable, Refused } from "./server.js";
import { bytes, megapixels, names } from "./words.js";

const $ = (id) => document.getElementById(id);
const PICTURE = /\.(jpe?g|png|webp|avif|gif|tiff?|bmp|hei[cf])$/i; // in a folder, everything else is left out
const MOST_FILES = 1000;
const THUMBNAIL_PX = 192;

/** Say which files the server takes. */
export function tell({ takes, max_body_bytes, max_pixels }) {
  $("limits").textContent = `${names(takes)}, up to ${bytes(max_body_bytes)} and ${megapixels(max_pixels)}.`;
}

/** Call choose(files) for the files of the dialogues, of the camera, dropped anywhere, or pasted; else trouble(error). */
export function listen(choose, trouble) {
  for (const input of [$("file"), $("folder"), $("camera")]) {
    input.addEventListener("change", () => {
      const files = [...input.files];
      const found = input === $("folder") ? files.filter((each) => PICTURE.test(each.name)) : files;
      if (found.length) choose(found.slice(0, MOST_FILES));
      else if (files.length) trouble(new Error("There is no picture in this folder."));
      input.value = ""; // the same file may be chosen again
    });
  }
  for (const button of document.querySelectorAll("[data-example]")) {
    button.addEventListener("click", async () => choose([await example(button.dataset.example)]));
  }
  $("another").addEventListener("click", () => $("file").click());
  addEventListener("paste", (event) => event.clipboardData?.files.length && choose([...event.clipboardData.files]));
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
    if (!taken) dropped(event.dataTransfer).then(choose, trouble);
  });
}

/** One of the bundled photographs, as a File. */
export async function example(name) {
  const blob = await (await fetch(`web/${name}`)).blob();
  return new File([blob], name, { type: blob.type });
}

/** The files of a drop, and those of its folders. Throws an Error in words for people if there are none. */
async function dropped(transfer) {
  const held = [...transfer.items].filter((item) => item.kind === "file"); // read now: a drop is over after this turn
  const parts = held.map((item) => [item.webkitGetAsEntry?.(), item.getAsFile()]);
  const found = [];
  for (const [entry, file] of parts) {
    if (entry?.isDirectory) await walk(entry, found);
    else if (file) found.push(file);
  }
  if (found.length) return found.slice(0, MOST_FILES);
  if (parts.length) throw new Error("There is no picture in this folder.");
  throw new Error("That is an address or a text, not a picture. Save the picture first, and drop its file.");
}

/** Collect the pictures of a folder and of the folders in it; each gets its path as `folder`. */
async function walk(folder, found) {
  const reader = folder.createReader();
  for (;;) { // a reader gives at most 100 at a time
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!entries.length || found.length >= MOST_FILES) return;
    for (const entry of entries.sort((a, b) => a.name.localeCompare(b.name))) {
      if (entry.isDirectory) await walk(entry, found);
      else if (PICTURE.test(entry.name)) {
        const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
        found.push(Object.assign(file, { folder: entry.fullPath.replace(/^\//, "") }));
      }
    }
  }
}

/**
 * {shown, url, width, height} of a file; shown: the same picture in a format that this browser decodes. Throws an Error
 * in words for people, Refused or Lost.
 */
export async function opened(file, mostBytes) {
  const found = await shown(file).catch(() => null);
  if (found) return found;
  if (!file.size) throw new Error(`${file.name} is empty.`);
  if (file.size > mostBytes) {
    throw new Error(`${file.name} has ${bytes(file.size)}; this server takes at most ${bytes(mostBytes)}.`);
  }
  try { // a TIFF, say; or none at all: then the server says what it is
    return await shown(await readable(file));
  } catch (error) {
    throw error instanceof Refused || error instanceof Lost ? error : new Error(`${file.name} cannot be shown here.`);
  }
}

/** A small copy of a picture, as a URL. Throws where this browser cannot decode it. */
export async function thumbnail(blob) {
  const bitmap = await createImageBitmap(blob, { resizeWidth: THUMBNAIL_PX, resizeQuality: "medium" });
  const canvas = new OffscreenCanvas(bitmap.width, Math.min(bitmap.height, 8 * THUMBNAIL_PX));
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  bitmap.close();
  return URL.createObjectURL(await canvas.convertToBlob({ type: "image/webp", quality: 0.8 }));
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
