-- The four roles of a PostgreSQL server. Run as its superuser, before database.sql, by init.sh and by
-- scripts/devstack/postgres/roles.py; they set the passwords. Running it again takes back what was changed.
DO $$
DECLARE
    name text;
    stronger text;
BEGIN
    FOREACH name IN ARRAY ARRAY['owner', 'app', 'auth', 'purge'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I', name);
        END IF;
        EXECUTE format(
            'ALTER ROLE %I LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE NOREPLICATION NOINHERIT',
            name
        );
        -- Membership in a stronger role counts as much as an attribute.
        FOR stronger IN
            SELECT granted.rolname FROM pg_auth_members AS m
            JOIN pg_roles AS granted ON granted.oid = m.roleid
            JOIN pg_roles AS member ON member.oid = m.member
            WHERE member.rolname = name
        LOOP
            EXECUTE format('REVOKE %I FROM %I', stronger, name);
        END LOOP;
    END LOOP;
    ALTER ROLE auth SET search_path = auth;
    -- By default every role may connect to these databases and create temporary tables there.
    REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC;
END $$;
