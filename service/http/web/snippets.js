// The same request as code to copy. A key stays out of it: the code reads $IMPASTO_KEY.

/** Code in "curl", "python" or "javascript". name: of the picture; saved: of the result. */
export function snippet(language, address, name, saved, keyed) {
  return { curl, python, javascript }[language](address, name, saved, keyed);
}

export function curl(address, name, saved, keyed) {
  const form = /^[\w.+-]+$/.test(name) ? `image=@${name}` : `image=@"${name.replace(/["\\]/g, "\\$&")}"`;
  const key = keyed ? '-H "X-API-Key: $IMPASTO_KEY" ' : "";
  return `curl ${key}-F ${quoted(form)} ${quoted(address)} -o ${quoted(saved)}`;
}

function python(address, name, saved, keyed) {
  const key = keyed ? ', headers={"X-API-Key": os.environ["IMPASTO_KEY"]}' : "";
  return `${keyed ? "import os\n" : ""}from pathlib import Path

import httpx

picture = Path(${JSON.stringify(name)}).read_bytes()
response = httpx.post(${JSON.stringify(address)}, files={"image": picture}, timeout=None${key})
response.raise_for_status()
Path(${JSON.stringify(saved)}).write_bytes(response.content)`;
}

function javascript(address, name, saved, keyed) {
  const key = keyed ? ', headers: {"X-API-Key": process.env.IMPASTO_KEY}' : "";
  return `import { readFile, writeFile } from "node:fs/promises";

const body = new FormData();
body.append("image", new Blob([await readFile(${JSON.stringify(name)})]));
const response = await fetch(${JSON.stringify(address)}, {method: "POST", body${key}});
if (!response.ok) throw new Error(await response.text());
await writeFile(${JSON.stringify(saved)}, Buffer.from(await response.arrayBuffer()));`;
}

function quoted(text) {
  return /^[\w.+=@/:-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
