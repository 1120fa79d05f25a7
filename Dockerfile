# One recipe for every Node process of ours. SERVICE is storefront, gateway, account, inventory, payment, ticket, codec, worker or
# stripe-sim:
#   docker build --build-arg SERVICE=gateway -t onsale/gateway:0.1.0 .
# A further service needs nothing here: its folder services/<name> with a src/main.ts is enough (the storefront's pages are built
# since its package.json has a script "web").
ARG BASE_IMAGE=node:24-bookworm-slim

# The package.json files alone, so that the layers with the packages stay while code changes.
FROM ${BASE_IMAGE} AS manifests
WORKDIR /source
COPY . .
RUN mkdir /manifests && find . -name package.json -not -path '*/node_modules/*' -exec cp --parents '{}' /manifests ';' \
    && cp package-lock.json /manifests

# All packages, to build with. The secrets are npm's settings and trusted authorities of the machine that builds, if it has some.
FROM ${BASE_IMAGE} AS packages
WORKDIR /app
COPY --from=manifests /manifests ./
RUN --mount=type=secret,id=npmrc,target=/root/.npmrc \
    --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    --mount=type=cache,target=/root/.npm \
    npm ci --include=dev --ignore-scripts --no-audit --no-fund --loglevel=error

# Those for running alone.
FROM ${BASE_IMAGE} AS production
WORKDIR /app
COPY --from=manifests /manifests ./
RUN --mount=type=secret,id=npmrc,target=/root/.npmrc \
    --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    --mount=type=cache,target=/root/.npm \
    npm ci --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error

FROM packages AS build
ARG SERVICE
COPY . .
RUN folder=$(node tools/kube/pack.mjs folder "$SERVICE") \
    && node_modules/.bin/tsc -b "$folder" \
    && if [ "$SERVICE" = worker ]; then node workflows/dist/bundle.js; fi \
    && npm run --if-present --workspace "$folder" web

# Only what the service reaches from its main.js: its own files, and of the packages those that it really imports.
FROM production AS packed
ARG SERVICE
COPY --from=build /app /built
RUN node /built/tools/kube/pack.mjs pack "$SERVICE" /built /app/node_modules /packed

FROM ${BASE_IMAGE}
ARG SERVICE
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="onsale ${SERVICE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV NODE_ENV=production
WORKDIR /app
COPY --from=packed /packed ./
USER 1000:1000
# Node is process 1: it starts no other processes, so there is nothing to reap, and it gets SIGTERM itself; first-signals.mjs sees to
# the moment before the service's own handlers are there. No shell in between, and no tini needed.
ENTRYPOINT ["node", "--enable-source-maps", "--import", "/app/tools/kube/jobs/first-signals.mjs", "/app/main.mjs"]
