/** Server-sent events as the service writes them (`docs/api.md`, "Events"). */

export interface ServerEvent {
  readonly name: string;
  readonly data: Readonly<Record<string, unknown>>;
  /** How many milliseconds to wait before connecting again, if the event says so. */
  readonly retry?: number;
}

/** Return a function that takes the text of a stream in parts, and returns the events that each part completes. */
export function eventParser(): (part: string) => readonly ServerEvent[] {
  let rest = "";
  return (part) => {
    const blocks = (rest + part).split("\n\n");
    rest = blocks.pop() ?? "";
    return blocks.map(eventOf).filter((event) => event !== null);
  };
}

/** Return the event of a block of lines, or null for a comment: a sign of life. */
function eventOf(block: string): ServerEvent | null {
  const fields = new Map<string, string>();
  for (const line of block.split("\n")) {
    const [, field, value] = /^([a-z]+): ?(.*)$/.exec(line) ?? [];
    if (field !== undefined && value !== undefined) fields.set(field, value);
  }
  const name = fields.get("event");
  if (name === undefined) return null;
  const retry = Number(fields.get("retry"));
  return { name, data: JSON.parse(fields.get("data") ?? "{}"), ...(retry > 0 && { retry }) };
}
