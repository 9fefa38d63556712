#!/bin/sh
# The roles, the database and the schemas of a new data folder; PostgreSQL's image runs it once.
# What each role may do is in cluster.sql, database.sql and the migrations. The passwords are those in
# the roles' URLs.
set -eu

password_of() {
    url=$(cat "/run/secrets/$1")
    rest=${url#*://*:}
    printf '%s' "${rest%%@*}"
}

app=$(password_of app_database_url) auth=$(password_of auth_database_url)
owner=$(password_of owner_database_url) purge=$(password_of purge_database_url)
export app auth owner purge

# By way of the environment: arguments can be read by everybody on the machine.
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\getenv app app
\getenv auth auth
\getenv owner owner
\getenv purge purge
\i /opt/postgres/cluster.sql
-- A statement that fails is logged, and its password with it.
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
