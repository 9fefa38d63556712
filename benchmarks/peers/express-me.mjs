// Express with express-oauth2-jwt-bearer, as its README has it.
import express from "express";
import { auth } from "express-oauth2-jwt-bearer";

const app = express();
app.use(
  auth({
    issuer: process.env.ISSUER,
    jwksUri: process.env.JWKS_URL,
    audience: process.env.ISSUER,
    tokenSigningAlg: "EdDSA",
  }),
);
app.get("/me", (request, response) => response.json(request.auth.payload.sub));
app.listen(Number(process.env.PORT), "127.0.0.1");
