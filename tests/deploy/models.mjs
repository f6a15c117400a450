// Validates manifests (a JSON array on standard input) against the models of npm's kubernetes-models packages, which know
// enums, quantities and custom resources. Prints a JSON array of {kind, name, error} for those that fail; a kind that no
// package knows is a failure too. NODE_PATH does not count for imports, so argument 1 is the folder with node_modules.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const packages = {
  "external-secrets.io": "@kubernetes-models/external-secrets",
  "keda.sh": "@kubernetes-models/keda",
  "monitoring.coreos.com": "@kubernetes-models/prometheus-operator",
  "gateway.networking.k8s.io": "@kubernetes-models/gateway-api",
};

async function modelOf({ apiVersion, kind }) {
  const group = apiVersion.includes("/") ? apiVersion.split("/")[0] : "";
  const name = packages[group] ?? "kubernetes-models";
  const folder = join(process.argv[2], "node_modules", name);
  const module = await import(pathToFileURL(join(folder, apiVersion, "index.js")));
  if (!module[kind]) throw new Error(`${name} knows no ${apiVersion} ${kind}`);
  return module[kind];
}

const failures = [];
for (const manifest of JSON.parse(readFileSync(0, "utf8"))) {
  try {
    const Model = await modelOf(manifest);
    new Model(manifest).validate();
  } catch (error) {
    failures.push({ kind: manifest.kind, name: manifest.metadata?.name, error: String(error.message ?? error) });
  }
}
console.log(JSON.stringify(failures));
