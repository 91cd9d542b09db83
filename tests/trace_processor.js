// Perfetto's own trace processor (WebAssembly, made for a browser's worker) behind pipes: requests come in by stdin,
// answers go out by stdout, both as TraceProcessorRpcStream. The argument is the folder of the Perfetto UI.
"use strict";
const fs = require("fs");
const path = require("path");

const folder = process.argv[2];

class XMLHttpRequest {
  open(_, url) {
    this.file = path.join(folder, path.basename(url));
  }
  send() {
    this.response = new Uint8Array(fs.readFileSync(this.file)).buffer;
  }
}

const worker = { location: { href: `file://${folder}/engine_bundle.js` } };
const code = fs.readFileSync(path.join(folder, "engine_bundle.js"), "utf8");
// It asks which of these there are to know where it runs.
const run = new Function("self", "process", "XMLHttpRequest", "WorkerGlobalScope", "console", code);
const log = (...words) => process.stderr.write(`${words.join(" ")}\n`);
run(worker, undefined, XMLHttpRequest, class {}, { log, warn: log, error: log });
const answer = (bytes) => {
  for (let at = 0; at < bytes.length; ) at += fs.writeSync(1, bytes, at);
};
const port = { postMessage: answer };
worker.onmessage({ data: port });
setImmediate(() => process.stdin.on("data", (bytes) => port.onmessage({ data: new Uint8Array(bytes) })));
