# A Redis where redis:8-alpine cannot be pulled: Debian's package.
ARG BASE=python:3.11-slim
FROM ${BASE}
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends redis-server && rm -rf /var/lib/apt/lists/* \
    && install --directory --owner 999 --group 1000 /data
WORKDIR /data
USER 999:1000
