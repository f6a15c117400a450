# An nginx where nginx:1.29-alpine cannot be pulled: Debian's package.
ARG BASE=python:3.11-slim
FROM ${BASE}
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends nginx wget && rm -rf /var/lib/apt/lists/*
USER 101:101
CMD ["nginx", "-g", "daemon off;"]
