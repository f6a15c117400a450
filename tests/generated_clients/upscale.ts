// A client as openapi-typescript makes it, used once: types from the document, a picture through /upscale, a v2 model.
import { readFileSync, writeFileSync } from "node:fs";
import createClient from "openapi-fetch";
import type { paths } from "./impasto.js";

const [address, source, target] = process.argv.slice(2) as [string, string, string];
const client = createClient<paths>({ baseUrl: address });
const { data, error } = await client.POST("/upscale", {
  params: { query: { factor: 2 } },
  body: { image: "" },
  bodySerializer: () => {
    const form = new FormData();
    form.append("image", new Blob([readFileSync(source)], { type: "image/png" }), "photo.png");
    return form;
  },
  parseAs: "arrayBuffer",
});
if (error !== undefined || data === undefined) throw new Error(JSON.stringify(error));
writeFileSync(target, new Uint8Array(data as unknown as ArrayBuffer));

const refused = await client.POST("/stylize", { params: { query: { style: "mosiac" } }, body: { image: "" } });
console.log(refused.error?.code);
const model = await client.GET("/v2/models/{model}/versions/{version}/ready", {
  params: { path: { model: "upscale.x2", version: "nope" } },
});
console.log(model.response.status);
