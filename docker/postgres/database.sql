-- What the four roles may do in this database before the migrations grant them rights on tables. Run
-- as superuser in the service's database, after cluster.sql. Running it again changes nothing.
DO $$
DECLARE
    name text := current_database();
    large_object_function regprocedure;
BEGIN
    EXECUTE format('ALTER DATABASE %I OWNER TO owner', name);
    -- This includes the right to create temporary tables, which every role has by default.
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC, app, auth, purge', name);
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO owner, app, auth, purge', name);
    REVOKE ALL ON SCHEMA public FROM PUBLIC;
    -- Before PostgreSQL 16 a NOINHERIT owner does not have this by owning the database.
    GRANT USAGE, CREATE ON SCHEMA public TO owner;
    GRANT USAGE ON SCHEMA public TO app, auth, purge;
    CREATE SCHEMA IF NOT EXISTS auth AUTHORIZATION auth;
    REVOKE ALL ON SCHEMA auth FROM PUBLIC, owner, app, purge;
    -- No policy binds large objects, and by default every role may create them.
    FOR large_object_function IN
        SELECT oid::regprocedure FROM pg_proc
        WHERE pronamespace = 'pg_catalog'::regnamespace AND proname ~ '^(lo_.*|loread|lowrite)$'
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', large_object_function);
    END LOOP;
END $$;
