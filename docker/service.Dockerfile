# One image with the service, its migrations and the operators' commands.
#
#     docker build -f docker/service.Dockerfile -t better-auth-resource-server .
#
# The tests run on this version of Python. A build argument can set another base image.
ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
COPY docker/requirements-build.lock docker/requirements-service.lock ./
RUN python3 -m venv builder && python3 -m venv --without-pip /opt/venv \
    && builder/bin/pip install --require-hashes -r requirements-build.lock \
    && builder/bin/pip --python /opt/venv/bin/python install --require-hashes -r requirements-service.lock
COPY pyproject.toml README.md LICENSE better_auth_resource_server.py ./
COPY keys keys
COPY service service
COPY scripts/__init__.py scripts/
COPY scripts/operations scripts/operations
RUN builder/bin/pip wheel --no-deps --no-build-isolation --wheel-dir wheels ./keys . \
    && builder/bin/pip --python /opt/venv/bin/python install --no-deps --no-index wheels/*.whl

FROM ${PYTHON_IMAGE}
# Set by the build of a release.
ARG VERSION=
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Better Auth resource server" \
      org.opencontainers.image.description="A FastAPI resource server that trusts Better Auth's tokens without sharing a secret with it." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# A folder for the issuer's keys (KEY_CACHE) that any user can write to.
RUN mkdir -m 1777 /state
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOST=0.0.0.0
WORKDIR /tmp
# An unprivileged user. docker-compose.yml runs the image as the owner of the secrets.
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["python", "-m", "service.system.probe"]
STOPSIGNAL SIGTERM
CMD ["python", "-m", "service"]
