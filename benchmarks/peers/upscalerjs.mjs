// A model of UpscalerJS as its users run it where tfjs-node's library cannot be had: TensorFlow.js on WebAssembly.
//
//   NODE_MODULES=FOLDER node upscalerjs.mjs MODEL_FOLDER HEIGHT WIDTH REPEATS < pixels > floats
//
// pixels: uint8 RGB (HEIGHT, WIDTH, 3); floats: float32 of the answer. Seconds of each pass go to standard error as JSON.
import { createRequire } from "node:module";
import fs from "node:fs";
import path from "node:path";

const modules = process.env.NODE_MODULES;
const require = createRequire(path.join(modules, "x.js"));
console.log = console.warn = console.info = () => {};
const tf = require("@tensorflow/tfjs");
const wasm = require("@tensorflow/tfjs-backend-wasm");
wasm.setWasmPaths(path.join(modules, "@tensorflow/tfjs-backend-wasm/dist/"));
await tf.setBackend("wasm");

const [folder, height, width, repeats] = process.argv.slice(2);
const { modelTopology, weightsManifest } = JSON.parse(fs.readFileSync(path.join(folder, "model.json"), "utf8"));
const shards = weightsManifest[0].paths.map((name) => fs.readFileSync(path.join(folder, name)));
const data = Buffer.concat(shards);
const weightData = data.buffer.slice(data.byteOffset, data.byteOffset + data.length);
const model = await tf.loadLayersModel({
  load: async () => ({ modelTopology, weightSpecs: weightsManifest[0].weights, weightData }),
});
const pixels = fs.readFileSync(0);
const seconds = [];
let answer;
for (let i = 0; i < Number(repeats) + 1; i++) {
  const start = performance.now();
  const output = tf.tidy(() => model.predict(tf.tensor4d(Uint8Array.from(pixels), [1, +height, +width, 3], "float32")));
  answer = await output.data();
  output.dispose();
  seconds.push((performance.now() - start) / 1000);
}
fs.writeSync(2, JSON.stringify({ backend: tf.getBackend(), seconds: seconds.slice(1) }) + "\n");
const bytes = Buffer.from(answer.buffer, answer.byteOffset, answer.byteLength);
for (let at = 0; at < bytes.length; ) at += fs.writeSync(1, bytes, at);
