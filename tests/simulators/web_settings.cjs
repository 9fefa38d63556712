// Runs the settings readers of web/ on cases from standard input: [{ name, source }]. A name asks for the text of one
// setting, null for the whole environment. Writes one answer for each case: { value } or { mistakes }.
const { mkdtempSync, readFileSync, rmSync, writeFileSync } = require("node:fs");
const { tmpdir } = require("node:os");
const { join } = require("node:path");

const web = join(__dirname, "..", "..", "web");
const typescript = require(join(web, "node_modules", "typescript"));

const folder = mkdtempSync(join(tmpdir(), "web-settings-"));
try {
  // Some of the Node versions that web/ supports cannot read TypeScript.
  for (const name of ["setting-reader", "mail-settings", "telemetry-settings", "environment"]) {
    const source = readFileSync(join(web, "lib", `${name}.ts`), "utf8");
    const compilerOptions = { module: typescript.ModuleKind.CommonJS, target: typescript.ScriptTarget.ES2022 };
    writeFileSync(join(folder, `${name}.js`), typescript.transpileModule(source, { compilerOptions }).outputText);
  }
  const { readSetting } = require(join(folder, "setting-reader.js"));
  const { readEnvironment } = require(join(folder, "environment.js"));
  const answers = JSON.parse(readFileSync(0, "utf8")).map(({ name, source }) => {
    try {
      const own = source ?? process.env;
      return { value: (name === null ? readEnvironment(own) : readSetting(name, own)) ?? null };
    } catch (error) {
      return { mistakes: error.problems ?? [error.message] };
    }
  });
  process.stdout.write(JSON.stringify(answers));
} finally {
  rmSync(folder, { recursive: true });
}
