// The results of this visit, in a strip. The oldest leave when there are too many, or too many bytes.

import { bytes, title } from "./words.js";

const MOST = 12;
const MOST_BYTES = 200e6;

const $ = (id) => document.getElementById(id);
let results = [];

/**
 * Keep a result: {blob, url, width, height, name, path, picture}. open: called with it when it is clicked. shownElsewhere:
 * the result that is shown is not one of these.
 */
export function keep(result, open, shownElsewhere = false) {
  results.unshift(result);
  while (results.length > 1 && (results.length > MOST || total() > MOST_BYTES)) drop(results.pop());
  $("results").replaceChildren(...results.map((each) => entry(each, open)));
  $("visit").hidden = results.length < (shownElsewhere ? 1 : 2);
}

/** The result of these settings for a photograph, if it is still here. */
export function find(path, picture) {
  return results.find((each) => each.path === path && each.picture === picture);
}

/** Mark the result that is shown; null for none. */
export function mark(result) {
  results.forEach((each, at) => $("results").children[at]?.firstChild.setAttribute("aria-pressed", each === result));
}

function total() {
  return results.reduce((sum, each) => sum + each.blob.size, 0);
}

function drop(result) {
  URL.revokeObjectURL(result.url);
}

function entry(result, open) {
  const item = document.createElement("li"), button = document.createElement("button"), image = new Image();
  const [task, query] = result.path.split("?"), asked = new URLSearchParams(query);
  const what = task === "stylize" ? asked.get("style").split(",").map((each) => title(each.split(":")[0])).join(" and ") : `${asked.get("factor")} times larger`;
  Object.assign(image, { src: result.url, alt: "", width: 96, height: 64, loading: "lazy" });
  button.type = "button";
  button.title = `${what}, ${bytes(result.blob.size)}`;
  button.setAttribute("aria-label", `${result.picture.file.name}: ${what}`);
  button.setAttribute("aria-pressed", "false");
  button.append(image);
  button.addEventListener("click", () => open(result));
  item.append(button);
  return item;
}
