# weir as a container image: compiled, with production dependencies only, as a user that is not root.
#
#   podman build -t weir .
#   docker build -t weir .
#
# NODE_IMAGE needs Node >= 24 and npm, RUNTIME_IMAGE needs nothing but `node` (>= 24) on the PATH: no shell, no curl.
ARG NODE_IMAGE=docker.io/library/node:26-bookworm-slim
ARG RUNTIME_IMAGE=docker.io/library/node:26-bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /build
# Without install scripts: the only one fetches the `node` that development is pinned to, and this image brings its own.
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY src src
RUN npm run build && npm prune --omit=dev --ignore-scripts --no-audit --no-fund && mkdir -p /empty

FROM ${RUNTIME_IMAGE}
LABEL org.opencontainers.image.title="weir" \
      org.opencontainers.image.description="A pull-through cache for OCI registries" \
      org.opencontainers.image.licenses="Apache-2.0"
WORKDIR /opt/weir
COPY --from=build /build/package.json ./
COPY --from=build /build/node_modules node_modules
COPY --from=build /build/dist dist
COPY LICENSE README.md CHANGELOG.md ./
COPY config/weir.example.yaml config/weir.minimal.yaml config/weir.schema.json config/
# The only place that weir writes to. A volume that is mounted here must be writable for the user below.
COPY --from=build --chown=65532:65532 /empty /var/lib/weir
ENV NODE_ENV=production \
    WEIR_LISTEN=0.0.0.0:5000 \
    WEIR_ADMIN_LISTEN=0.0.0.0:5001 \
    WEIR_CACHE_ROOT=/var/lib/weir
EXPOSE 5000 5001
VOLUME /var/lib/weir
USER 65532:65532
STOPSIGNAL SIGTERM
# Whether weir answers at all: an upstream that is down does not make it unhealthy. `:5001` means every address.
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 CMD ["node", "-e", "fetch('http://' + process.env.WEIR_ADMIN_LISTEN.replace(/^:/, '0.0.0.0:') + '/healthz').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "/opt/weir/dist/main.js"]
CMD ["serve"]
