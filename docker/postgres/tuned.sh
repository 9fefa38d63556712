#!/bin/sh
# Start PostgreSQL with settings for the memory that its container may use (POSTGRES_MEMORY): a quarter
# for its own cache, and as much for its 100 connections. The system caches files in the rest.
set -eu

bytes=$(cat "${MEMORY_LIMIT:-/sys/fs/cgroup/memory.max}" 2>/dev/null || echo max)
case $bytes in
    *[!0-9]* | '') megabytes=512 ;; # no limit, or none that can be read
    *) megabytes=$((bytes / 1048576)) ;;
esac
kilobytes=$((megabytes * 1024))
exec docker-entrypoint.sh postgres \
    -c "shared_buffers=$((kilobytes / 4))kB" \
    -c "effective_cache_size=$((kilobytes * 3 / 4))kB" \
    -c "work_mem=$((kilobytes / 400))kB" \
    -c "maintenance_work_mem=$((kilobytes / 16))kB" \
    -c max_connections=100
