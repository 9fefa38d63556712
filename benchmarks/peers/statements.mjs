// The statements of the Node peers. pg prepares a statement with a name once per connection.
const ROW =
  "id, title, description, completed, priority, due_at, created_at, updated_at, completed_at, version";

export const COLUMNS = {
  created_at: "created_at ASC, id ASC",
  "-created_at": "created_at DESC, id DESC",
  updated_at: "updated_at ASC, id ASC",
  "-updated_at": "updated_at DESC, id DESC",
};

export const GET = {
  name: "get",
  text: `SELECT ${ROW} FROM tasks WHERE owner_id = $1 AND id = $2 AND deleted_at IS NULL`,
};
export const CREATE = {
  name: "create",
  text:
    "INSERT INTO tasks (owner_id, id, title, description, completed, priority, due_at, created_at," +
    " updated_at, completed_at, version) VALUES ($1, $2, $3, $4, $5, $6, $7, now(), now()," +
    ` CASE WHEN $5 THEN now() END, 1) RETURNING ${ROW}`,
};
export const DELETE = {
  name: "delete",
  text:
    "UPDATE tasks SET deleted_at = now(), version = version + 1" +
    " WHERE owner_id = $1 AND id = $2 AND deleted_at IS NULL",
};
export const RESTORE = {
  name: "restore",
  text:
    "UPDATE tasks SET deleted_at = NULL, updated_at = now(), version = version + 1" +
    ` WHERE owner_id = $1 AND id = $2 AND deleted_at IS NOT NULL RETURNING ${ROW}`,
};

const members = {
  title: { type: "string", minLength: 1, maxLength: 200 },
  description: { type: "string", nullable: true, maxLength: 10000 },
  completed: { type: "boolean" },
  priority: { type: "integer", minimum: 0, maximum: 3 },
  due_at: { type: "string", nullable: true, format: "date-time" },
};
const defaults = { description: null, completed: false, priority: 0, due_at: null };
const withDefaults = Object.entries(members).map(([name, schema]) => [
  name,
  name in defaults ? { ...schema, default: defaults[name] } : schema,
]);
const strict = { type: "object", additionalProperties: false };
export const bodies = {
  whole: { ...strict, required: ["title"], properties: Object.fromEntries(withDefaults) },
  partial: { ...strict, properties: members },
};

export function listOf(owner, { limit, sort, completed, priority }) {
  const values = [owner, limit + 1];
  let name = `list ${sort}`;
  let where = "owner_id = $1 AND deleted_at IS NULL";
  for (const [column, value] of [["completed", completed], ["priority", priority]]) {
    if (value !== undefined) {
      values.push(value);
      where += ` AND ${column} = $${values.length}`;
      name += ` ${column}`;
    }
  }
  const text = `SELECT ${ROW} FROM tasks WHERE ${where} ORDER BY ${COLUMNS[sort]} LIMIT $2`;
  return { name, text, values };
}

export function changed(owner, id, body) {
  const values = [owner, id];
  const sets = ["updated_at = now()", "version = version + 1"];
  const names = Object.keys(members).filter((name) => body[name] !== undefined);
  for (const name of names) {
    values.push(body[name]);
    sets.push(`${name} = $${values.length}`);
    if (name === "completed") {
      sets.push(`completed_at = CASE WHEN $${values.length} THEN coalesce(completed_at, now()) END`);
    }
  }
  const text =
    `UPDATE tasks SET ${sets.join(", ")}` +
    ` WHERE owner_id = $1 AND id = $2 AND deleted_at IS NULL RETURNING ${ROW}`;
  return { name: `change ${names.join(" ")}`, text, values };
}
