// Number fields that say what is wrong with them while they are typed in.

/** Check every number field of a form at each change. */
export function listen(form) {
  for (const field of numbers(form)) {
    const words = document.createElement("span");
    Object.assign(words, { id: `${field.id}-fault`, className: "fault", hidden: true });
    field.after(words);
    const told = [field.getAttribute("aria-describedby"), words.id].filter(Boolean).join(" ");
    field.setAttribute("aria-describedby", told);
    field.addEventListener("input", () => check(field));
  }
}

/** The first field that is wrong: {field, label, words}; marks it. Null if there is none. */
export function wrong(form) {
  for (const field of numbers(form)) {
    const words = check(field);
    if (words && !field.closest("[hidden]:not(.fault)")) {
      return { field, label: form.querySelector(`label[for="${field.id}"]`).textContent, words };
    }
  }
  return null;
}

/** Show what is wrong with a field, and return it; "" for nothing. */
export function check(field) {
  const words = fault(field), line = document.getElementById(`${field.id}-fault`);
  if (words) field.setAttribute("aria-invalid", "true");
  else field.removeAttribute("aria-invalid");
  Object.assign(line, { textContent: words, hidden: !words });
  return words;
}

function numbers(form) {
  return form.querySelectorAll('input[type="number"]');
}

function fault({ validity, min, max }) {
  if (validity.badInput) return "This is not a number.";
  if (validity.valueMissing) return "A number is missing.";
  if (validity.rangeUnderflow) return `The smallest value is ${min}.`;
  if (validity.rangeOverflow) return `The largest value is ${max}.`;
  return validity.stepMismatch ? "This has to be a whole number." : "";
}
