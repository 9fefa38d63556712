import { closeSync, openSync, readSync } from "node:fs";

/**
 * Read settings as text, by the rules of `service/settings/reader.py`.
 *
 * 1. This application reads its environment only. A name with an empty or blank value is not set.
 * 2. `NAME_FILE` names a file that holds the value of `NAME`. Setting both is a mistake.
 * 3. ASCII whitespace around a value is removed, whatever its source.
 * 4. A file holds at most 64 KiB of UTF-8. A byte order mark is skipped. A file that is empty or cannot be read is a
 *    mistake: a missing secret must not look like one that was never configured.
 * 5. Messages name the setting and never repeat its value, not even a path.
 */

export type Source = Readonly<Record<string, string | undefined>>;

/** A setting that cannot be used. The message is one line that begins with its name. */
export class SettingError extends Error {}

const MAXIMUM_BYTES = 64 * 1024;
// Not trim(): beyond ASCII, JavaScript and Python disagree about what is whitespace.
const TRIMMED = /[^ \t\r\n\f\v](?:.*[^ \t\r\n\f\v])?/s;

/** Return the text of a setting, or undefined if it is not set. Throws SettingError. */
export function readSetting(name: string, source: Source): string | undefined {
  const [text, path] = [name, `${name}_FILE`].map((key) => trimmed(source[key] ?? ""));
  if (text && path) throw new SettingError(`${name}: ${name}_FILE is set as well; keep one of them`);
  // Node replaces bytes that are not UTF-8 with this character.
  if (text?.includes("\uFFFD")) throw new SettingError(`${name}: is not UTF-8`);
  return text || (path ? readFile(path, `${name}_FILE: the file`) : undefined);
}

function trimmed(text: string): string {
  return TRIMMED.exec(text)?.[0] ?? "";
}

function readFile(path: string, what: string): string {
  let content: Buffer;
  try {
    content = readBounded(path);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : "unknown error";
    throw new SettingError(`${what} cannot be read (${code})`);
  }
  if (content.length > MAXIMUM_BYTES) throw new SettingError(`${what} is over ${MAXIMUM_BYTES} bytes`);
  let text: string;
  try {
    text = trimmed(new TextDecoder("utf-8", { fatal: true }).decode(content));
  } catch {
    throw new SettingError(`${what} is not UTF-8`);
  }
  if (text === "") throw new SettingError(`${what} is empty`);
  return text;
}

/** Read a file, but at most one byte more than the limit. */
function readBounded(path: string): Buffer {
  const file = openSync(path, "r");
  try {
    const buffer = Buffer.alloc(MAXIMUM_BYTES + 1);
    let length = 0;
    for (let count = -1; count !== 0; length += count)
      count = readSync(file, buffer, length, buffer.length - length, null);
    return buffer.subarray(0, length);
  } finally {
    closeSync(file);
  }
}
