// All results in one ZIP, made in this browser: client-zip streams them, and compresses nothing twice.

const $ = (id) => document.getElementById(id);
const NAME = "impasto.zip";
const KEEP_MS = 60_000;

/** Save the results of pictures, in the folders that they came from. */
async function save(pictures) {
  const { downloadZip } = await import("./client-zip-2.5.1.js");
  const blob = await downloadZip(files(pictures.filter((each) => each.result))).blob();
  const url = URL.createObjectURL(blob), link = document.createElement("a");
  Object.assign(link, { href: url, download: NAME });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), KEEP_MS);
}

function* files(pictures) {
  const taken = new Set();
  for (const { folder, result } of pictures) {
    const [, stem, ending] = /^(.*?)(\.\w+)?$/.exec(folder ? `${folder}/${result.name}` : result.name);
    let name = `${stem}${ending ?? ""}`;
    for (let count = 2; taken.has(name); count++) name = `${stem} (${count})${ending ?? ""}`;
    taken.add(name);
    yield { name, input: result.blob, lastModified: new Date() };
  }
}

/** Save the results of pictures() when the button is pressed. It is disabled until the ZIP is there. */
export function listen(pictures) {
  $("zip").addEventListener("click", async () => {
    $("zip").disabled = true;
    try {
      await save(pictures());
    } finally {
      $("zip").disabled = false;
    }
  });
}
