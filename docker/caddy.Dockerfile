# Caddy with our configuration, and a place for its certificates that any user may write to.
ARG CADDY_IMAGE=docker.io/library/caddy:2
FROM ${CADDY_IMAGE}
LABEL org.opencontainers.image.title="Better Auth resource server: proxy" \
      org.opencontainers.image.licenses="MIT"
RUN mkdir -m 1777 /state
COPY Caddyfile /etc/caddy/Caddyfile
ENV XDG_DATA_HOME=/state XDG_CONFIG_HOME=/state
USER 10001:10001
EXPOSE 8080 8443
CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
