// Express with express-oauth2-jwt-bearer, and pg with named statements. One wall: the owner condition.
import express from "express";
import { auth } from "express-oauth2-jwt-bearer";
import pg from "pg";
import { randomUUID } from "node:crypto";
import { changed, COLUMNS, CREATE, DELETE, GET, listOf, RESTORE } from "./statements.mjs";

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 });
const app = express();
app.disable("x-powered-by");
app.use(
  auth({
    issuer: process.env.ISSUER,
    jwksUri: process.env.JWKS_URL,
    audience: process.env.ISSUER,
    tokenSigningAlg: "EdDSA",
  }),
);
app.use(express.json());

const ownerOf = (request) => request.auth.payload.sub;
const one = async (response, statement, code = 200) => {
  const { rows } = await pool.query(statement);
  if (rows.length === 0) {
    return response.status(404).json({ error: "not found" });
  }
  return response.status(code).json(rows[0]);
};

app.get("/api/tasks", async (request, response) => {
  const { sort = "-created_at", completed, priority } = request.query;
  const limit = Number(request.query.limit ?? 50);
  if (!(sort in COLUMNS) || !(limit >= 1 && limit <= 100)) {
    return response.status(422).json({ error: "invalid query" });
  }
  const wanted = { limit, sort, completed, priority };
  const { rows } = await pool.query(listOf(ownerOf(request), wanted));
  const items = rows.slice(0, limit);
  return response.json({ items, next_cursor: rows.length > limit ? items.at(-1).id : null });
});
app.get("/api/tasks/:id", (request, response) =>
  one(response, { ...GET, values: [ownerOf(request), request.params.id] }),
);
app.post("/api/tasks", (request, response) => {
  const { title, description, completed = false, priority = 0, due_at } = request.body;
  const task = [title, description ?? null, completed, priority, due_at ?? null];
  return one(response, { ...CREATE, values: [ownerOf(request), randomUUID(), ...task] }, 201);
});
const change = (request, response) =>
  one(response, changed(ownerOf(request), request.params.id, request.body));
app.put("/api/tasks/:id", change);
app.patch("/api/tasks/:id", change);
app.delete("/api/tasks/:id", async (request, response) => {
  const values = [ownerOf(request), request.params.id];
  const { rowCount } = await pool.query({ ...DELETE, values });
  return response.status(rowCount === 0 ? 404 : 204).end();
});
app.post("/api/tasks/:id/restore", (request, response) =>
  one(response, { ...RESTORE, values: [ownerOf(request), request.params.id] }),
);
app.use((error, _request, response, next) => {
  if (response.headersSent) {
    return next(error);
  }
  return response.status(error.status ?? 500).set(error.headers ?? {}).end();
});

app.listen(Number(process.env.PORT), "127.0.0.1");
