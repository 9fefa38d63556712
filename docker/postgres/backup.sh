#!/bin/sh
# Back up the database to a new file in the volume `backups`, check that the file can be read, and
# remove all but the 14 newest. The superuser is needed: see docs/running.md, "Backup and restore".
set -eu

folder=${BACKUPS:-/var/lib/postgresql}
umask 077
PGPASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")
export PGPASSWORD
file=$folder/$(date -u +%Y-%m-%dT%H%M%SZ).dump
# A backup that was interrupted does not look like one.
trap 'rm -f "$file.part"' EXIT
pg_dump --host "${PGHOST:-postgres}" --username "${PGUSER:-postgres}" --format=custom \
    --file "$file.part" "${PGDATABASE:-resource_server}"
pg_restore --list "$file.part" >/dev/null
mv "$file.part" "$file"
find "$folder" -maxdepth 1 -name '*.dump' | sort -r | tail -n +15 | while read -r old; do
    rm -f "$old"
done
echo "backed up to $file"
