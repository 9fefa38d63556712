-- Create or correct the five roles of a PostgreSQL server. init.sh and
-- scripts/devstack/postgres/roles.py run this as superuser, before database.sql, and set the passwords.
DO $$
DECLARE
    name text;
    stronger text;
BEGIN
    FOREACH name IN ARRAY ARRAY['owner', 'app', 'auth', 'purge', 'revocations_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I', name);
        END IF;
        EXECUTE format(
            'ALTER ROLE %I LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE NOREPLICATION NOINHERIT',
            name
        );
        -- A member of a stronger role has its rights, so revoke memberships, too.
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
    -- By default, every role can connect to these databases and create temporary tables.
    REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC;
END $$;
