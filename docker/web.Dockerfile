# The Next.js app with Better Auth.
#
#     docker build -f docker/web.Dockerfile -t better-auth-resource-server-web web
ARG NODE_IMAGE=docker.io/library/node:24-bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /build
ENV NEXT_TELEMETRY_DISABLED=1 NEXT_STANDALONE=1
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY . .
RUN npm run build && cp -r .next/static .next/standalone/.next/

FROM ${NODE_IMAGE}
# Set by the build of a release.
ARG VERSION=
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Better Auth resource server: web" \
      org.opencontainers.image.description="Next.js and Better Auth: accounts, sessions, and the JWTs that the service verifies." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
WORKDIR /app
COPY --from=build /build/.next/standalone ./
ENV NODE_ENV=production NEXT_TELEMETRY_DISABLED=1 HOSTNAME=0.0.0.0 PORT=3000
USER 10001:10001
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["node", "-e", "fetch('http://127.0.0.1:3000/api/auth/jwks').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
STOPSIGNAL SIGTERM
CMD ["node", "server.js"]
