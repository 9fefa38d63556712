#!/bin/sh
# Create the roles, the database and its schemas in a new data folder. PostgreSQL's image runs this
# once. cluster.sql, database.sql and the migrations define the rights of each role. The passwords are
# the ones in the roles' URLs.
set -eu

password_of() {
    url=$(cat "/run/secrets/$1")
    rest=${url#*://*:}
    printf '%s' "${rest%%@*}"
}

app=$(password_of app_database_url) auth=$(password_of auth_database_url)
owner=$(password_of owner_database_url) purge=$(password_of purge_database_url)
export app auth owner purge

# In the environment, because every user of the machine can read arguments.
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\getenv app app
\getenv auth auth
\getenv owner owner
\getenv purge purge
\i /opt/postgres/cluster.sql
-- Otherwise a failed statement would be logged with its password.
SET log_min_error_statement = panic;
SET password_encryption = 'scram-sha-256';
ALTER ROLE owner PASSWORD :'owner';
ALTER ROLE app PASSWORD :'app';
ALTER ROLE auth PASSWORD :'auth';
ALTER ROLE purge PASSWORD :'purge';
CREATE DATABASE resource_server OWNER owner;
\connect resource_server
\i /opt/postgres/database.sql
SQL
