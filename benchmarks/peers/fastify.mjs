// Fastify with response schemas, jose, and pg with named statements. One wall: the owner condition.
import Fastify from "fastify";
import { createRemoteJWKSet, jwtVerify } from "jose";
import pg from "pg";
import { randomUUID } from "node:crypto";
import { bodies, changed, COLUMNS, CREATE, DELETE, GET, listOf, RESTORE } from "./statements.mjs";

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 });
const keys = createRemoteJWKSet(new URL(process.env.JWKS_URL));
const expected = {
  issuer: process.env.ISSUER,
  audience: process.env.ISSUER,
  algorithms: ["EdDSA"],
  requiredClaims: ["sub", "exp"],
};

const text = { type: "string" };
const moment = { type: "string", format: "date-time" };
const orNull = (schema) => ({ ...schema, nullable: true });
const task = {
  type: "object",
  properties: {
    id: text,
    title: text,
    description: orNull(text),
    completed: { type: "boolean" },
    priority: { type: "integer" },
    due_at: orNull(moment),
    created_at: moment,
    updated_at: moment,
    completed_at: orNull(moment),
    version: { type: "integer" },
  },
};
const page = {
  type: "object",
  properties: { items: { type: "array", items: task }, next_cursor: orNull(text) },
};
const query = {
  type: "object",
  properties: {
    limit: { type: "integer", minimum: 1, maximum: 100, default: 50 },
    sort: { enum: Object.keys(COLUMNS), default: "-created_at" },
    completed: { type: "boolean" },
    priority: { type: "integer", minimum: 0, maximum: 3 },
  },
};

const app = Fastify();
app.decorateRequest("owner", null);

app.addHook("onRequest", async (request, reply) => {
  const [scheme, token] = (request.headers.authorization ?? "").split(" ");
  if (scheme !== "Bearer" || !token) {
    return reply.code(401).send({ error: "unauthorized" });
  }
  try {
    const { payload } = await jwtVerify(token, keys, expected);
    request.owner = payload.sub;
  } catch {
    return reply.code(401).send({ error: "unauthorized" });
  }
});

const one = async (reply, statement, code = 200) => {
  const { rows } = await pool.query(statement);
  if (rows.length === 0) {
    return reply.code(404).send({ error: "not found" });
  }
  return reply.code(code).send(rows[0]);
};

app.get(
  "/api/tasks",
  { schema: { querystring: query, response: { 200: page } } },
  async (request) => {
    const { limit } = request.query;
    const { rows } = await pool.query(listOf(request.owner, request.query));
    const items = rows.slice(0, limit);
    return { items, next_cursor: rows.length > limit ? items.at(-1).id : null };
  },
);
const answers = (code) => ({ response: { [code]: task } });
app.get("/api/tasks/:id", { schema: answers(200) }, (request, reply) =>
  one(reply, { ...GET, values: [request.owner, request.params.id] }),
);
app.post("/api/tasks", { schema: { body: bodies.whole, ...answers(201) } }, (request, reply) => {
  const { title, description, completed, priority, due_at } = request.body;
  const values = [request.owner, randomUUID(), title, description, completed, priority, due_at];
  return one(reply, { ...CREATE, values }, 201);
});
for (const [method, body] of [["PUT", bodies.whole], ["PATCH", bodies.partial]]) {
  app.route({
    method,
    url: "/api/tasks/:id",
    schema: { body, ...answers(200) },
    handler: (request, reply) =>
      one(reply, changed(request.owner, request.params.id, request.body)),
  });
}
app.delete("/api/tasks/:id", async (request, reply) => {
  const { rowCount } = await pool.query({ ...DELETE, values: [request.owner, request.params.id] });
  return reply.code(rowCount === 0 ? 404 : 204).send();
});
app.post("/api/tasks/:id/restore", { schema: answers(200) }, (request, reply) =>
  one(reply, { ...RESTORE, values: [request.owner, request.params.id] }),
);

await app.listen({ host: "127.0.0.1", port: Number(process.env.PORT) });
