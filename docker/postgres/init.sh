#!/bin/sh
# The roles, the database and the schemas of a new data folder; PostgreSQL's image runs it once.
# Who may do what is the migrations' part. The passwords are those in the roles' URLs.
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
-- A statement that fails is logged, and its password with it.
SET log_min_error_statement = panic;
SET password_encryption = 'scram-sha-256';
CREATE ROLE owner LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE PASSWORD :'owner';
CREATE ROLE app LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE NOINHERIT PASSWORD :'app';
CREATE ROLE auth LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE NOINHERIT PASSWORD :'auth';
CREATE ROLE purge LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE NOINHERIT PASSWORD :'purge';
ALTER ROLE auth SET search_path = auth;
CREATE DATABASE resource_server OWNER owner;
REVOKE ALL ON DATABASE resource_server FROM PUBLIC;
GRANT CONNECT ON DATABASE resource_server TO owner, app, auth, purge;
\connect resource_server
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO app, auth, purge;
CREATE SCHEMA auth AUTHORIZATION auth;
SQL
