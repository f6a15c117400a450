// A result: what it is, where its time went, the code that makes it again, and the ways out.

import { snippet } from "./snippets.js";
import { bytes, duration, STAGES, timings } from "./words.js";

const $ = (id) => document.getElementById(id);
const SOURCES = { photo: " Enlarged as a photograph.", clean: " Enlarged as a clean picture." };
const CONFIRM_MS = 2000;

let result = null, keyed = false, language = "curl";

/** The result that is shown; null for none. */
export function shown() {
  return result;
}

/** Show a result: {blob, headers, url, width, height, name, path, picture}. withKey: does the code need a key? */
export function show(made, withKey) {
  result = made;
  keyed = withKey;
  const { blob, headers, width, height } = made;
  const kind = blob.type.replace("image/", "").toUpperCase();
  const inexact = headers.get("Impasto-Exact") === "false" ? " Too large to be painted as a whole: parts of it share the statistics of a smaller copy." : "";
  const source = SOURCES[headers.get("Impasto-Source")] ?? "";
  const size = width ? `${width} × ${height}` : "This browser cannot show it";
  $("facts").textContent = `${size}, ${kind}, ${bytes(blob.size)}.${source}${inexact}`;
  const stages = timings(headers.get("Server-Timing"));
  $("stages").replaceChildren(
    ...stages.map(([, spent]) => {
      const part = document.createElement("span");
      part.style.setProperty("--part", spent);
      return part;
    }),
  );
  $("times").replaceChildren(
    ...stages.map(([stage, spent]) => {
      const item = document.createElement("li"), value = document.createElement("b");
      value.textContent = duration(spent);
      item.append(`${STAGES[stage] ?? stage} `, value);
      return item;
    }),
  );
  code();
  Object.assign($("download"), { href: made.url, download: made.name, hidden: false });
  $("outcome").hidden = false;
}

export function hide() {
  result = null;
  $("outcome").hidden = $("download").hidden = true;
}

/** Call reuse(file) when the result is wanted as the next picture. */
export function listen(reuse) {
  $("reuse").addEventListener("click", () => reuse(new File([result.blob], result.name, { type: result.blob.type })));
  for (const button of document.querySelectorAll(".languages [value]")) {
    button.addEventListener("click", () => {
      language = button.value;
      for (const each of button.parentElement.querySelectorAll("[value]")) each.setAttribute("aria-pressed", each === button);
      code();
    });
  }
  $("copy").addEventListener("click", () => confirmed($("copy"), copyCode));
  $("copy-picture").addEventListener("click", () => confirmed($("copy-picture"), copyPicture));
}

function code() {
  const address = new URL(result.path, document.baseURI.replace(/#.*/, "")).href;
  $("curl").textContent = snippet(language, address, result.picture.file.name, result.name, keyed);
}

async function copyCode() {
  try {
    await navigator.clipboard.writeText($("curl").textContent);
  } catch { // not allowed, or no https: then it is marked, to be copied by hand
    getSelection().selectAllChildren($("curl"));
    document.execCommand("copy");
  }
}

async function copyPicture() { // the clipboard takes PNG only
  const bitmap = await createImageBitmap(result.blob), canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  bitmap.close();
  await navigator.clipboard.write([new ClipboardItem({ "image/png": canvas.convertToBlob({ type: "image/png" }) })]);
}

async function confirmed(button, work) {
  const text = button.textContent;
  button.disabled = true; // also so that the text is not taken twice
  try {
    await work();
    button.textContent = "Copied";
  } catch {
    button.textContent = "This browser does not allow it";
  }
  setTimeout(() => Object.assign(button, { textContent: text, disabled: false }), CONFIRM_MS);
}
