// What went wrong, in a sentence; what to do; and the form for a key.

import { key, Lost, Refused, setKey } from "./server.js";
import { sentence } from "./words.js";

const $ = (id) => document.getElementById(id);

/** Show an error. name: of the picture that it is about. kept: whether there is a picture to try again with. */
export function show(error, name, kept) {
  const problem = error instanceof Refused ? error.problem : {};
  const lost = error instanceof Lost;
  const words = error instanceof Refused ? sentence(problem, name) : error.message;
  const keyless = problem.status === 401 && !key();
  $("trouble-detail").textContent = keyless ? "This server asks for a key." : lost ? "Can't reach the server." : words;
  $("trouble-hint").textContent = lost && kept ? "Your picture is still here; try again." : "";
  const technical = [problem.detail, problem.request_id && `Request ${problem.request_id}`].filter(Boolean).join(". ");
  $("trouble-technical").textContent = technical;
  $("trouble-more").hidden = !technical;
  $("trouble").hidden = false;
  $("shrink").hidden = true;
  $("key-form").hidden = problem.status !== 401;
  if (problem.status === 401) $("key").focus();
}

/** Offer a smaller copy beside the error that is shown, or not. */
export function offerSmaller(on) {
  $("shrink").hidden = !on;
}

export function hide() {
  for (const each of ["trouble", "key-form", "shrink"]) $(each).hidden = true;
}

/** Call withKey() once a key is typed, and shrink() when the smaller copy is wanted. */
export function listen(withKey, shrink) {
  $("shrink").addEventListener("click", shrink);
  $("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    setKey($("key").value);
    $("key").value = "";
    $("key-form").hidden = $("trouble").hidden = true;
    withKey();
  });
}
