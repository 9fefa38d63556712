# Caddy with our configuration, and a folder for its certificates that any user can write to.
ARG CADDY_IMAGE=docker.io/library/caddy:2
FROM ${CADDY_IMAGE}
# Set by the build of a release.
ARG VERSION=
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Better Auth resource server: proxy" \
      org.opencontainers.image.description="Caddy in front of web and the service." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN mkdir -m 1777 /state
COPY Caddyfile /etc/caddy/Caddyfile
ENV XDG_DATA_HOME=/state XDG_CONFIG_HOME=/state
USER 10001:10001
EXPOSE 8080 8443
HEALTHCHECK --interval=10s --timeout=3s CMD ["wget", "-q", "--spider", "http://127.0.0.1:8080/"]
STOPSIGNAL SIGTERM
CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
