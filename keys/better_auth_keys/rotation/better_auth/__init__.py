"""The store of signing keys in Better Auth's own `jwks` table."""
