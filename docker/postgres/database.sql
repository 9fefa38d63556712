-- The rights of the five roles in this database; the migrations grant the rights on tables. Run as
-- superuser in the service's database, after cluster.sql. It can be repeated.
DO $$
DECLARE
    name text := current_database();
    large_object_function regprocedure;
BEGIN
    EXECUTE format('ALTER DATABASE %I OWNER TO owner', name);
    -- By default, every role can also create temporary tables.
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC, app, auth, purge, revocations_reader', name);
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO owner, app, auth, purge, revocations_reader', name);
    REVOKE ALL ON SCHEMA public FROM PUBLIC;
    -- Before PostgreSQL 16, a NOINHERIT owner of the database does not have this right.
    GRANT USAGE, CREATE ON SCHEMA public TO owner;
    GRANT USAGE ON SCHEMA public TO app, auth, purge, revocations_reader;
    CREATE SCHEMA IF NOT EXISTS auth AUTHORIZATION auth;
    REVOKE ALL ON SCHEMA auth FROM PUBLIC, owner, app, purge, revocations_reader;
    -- Row-level security does not cover large objects, and by default every role can create them.
    FOR large_object_function IN
        SELECT oid::regprocedure FROM pg_proc
        WHERE pronamespace = 'pg_catalog'::regnamespace AND proname ~ '^(lo_.*|loread|lowrite)$'
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', large_object_function);
    END LOOP;
END $$;
