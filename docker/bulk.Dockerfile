# The service with Ray and a shell, for KubeRay (k8s/bulk): impasto bulk.
#
#   docker build -f docker/service.Dockerfile -t impasto-service:0.1.0-cpu .
#   docker build -f docker/bulk.Dockerfile -t impasto-bulk:0.1.0-cpu .
#   docker build -f docker/bulk.Dockerfile -t impasto-bulk:0.1.0-cuda --build-arg SERVICE=impasto-service:0.1.0-cuda .
ARG BASE=python:3.11-slim
ARG SERVICE=impasto-service:0.1.0-cpu

# hadolint ignore=DL3006
FROM ${SERVICE} AS service

FROM ${BASE}
ARG RAY_VERSION=2.60.0
# KubeRay asks with wget whether a node is well.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends wget && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 impasto && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp impasto
COPY --from=service /opt/impasto /opt/impasto
COPY --from=service /checkpoints /checkpoints
COPY requirements.lock /tmp/
# The networks compute with what the service has: its packages stay.
# hadolint ignore=DL3042
RUN --mount=type=cache,target=/root/.cache/pip grep -v '^torch' /tmp/requirements.lock >/tmp/constraints.txt \
    && python3 -m pip --python /opt/impasto/bin/python install --quiet --constraint /tmp/constraints.txt \
        "ray[data,default]==${RAY_VERSION}" \
    && rm /tmp/*.txt /tmp/requirements.lock
ENV PATH=/opt/impasto/bin:/usr/local/bin:/usr/bin:/bin \
    LANG=C.UTF-8 \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    IMPASTO_CHECKPOINTS=/checkpoints
WORKDIR /tmp
USER 10001:10001
HEALTHCHECK NONE
CMD ["impasto", "bulk", "--help"]
