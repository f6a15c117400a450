# The service, with the bundled checkpoints.
#
#   docker build -f docker/service.Dockerfile -t impasto-service:0.1.0-cpu .
#   docker build -f docker/service.Dockerfile -t impasto-service:0.1.0-cuda --build-arg VARIANT=cuda .
#   docker run --rm -p 127.0.0.1:8000:8000 -e IMPASTO_ALLOW_ANONYMOUS=true impasto-service
#
# Arguments: docs/deploy.md.
ARG BASE=python:3.11-slim

FROM ${BASE} AS build
ARG VARIANT=cpu
ARG TORCH_INDEX_URL=
ARG TORCH_VERSION=
WORKDIR /src
COPY pyproject.toml requirements.lock ./
COPY docker/install.sh docker/
RUN --mount=type=cache,target=/root/.cache/pip sh docker/install.sh torch
COPY README.md LICENSE setup.py ./
COPY impasto/ impasto/
COPY nets/ nets/
COPY service/ service/
COPY trainer/ trainer/
# Installs both distributions and keeps what serving needs. Compiles only the modules that a start imports, because the root
# file system is read-only.
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/impasto/bin/pip install --quiet --no-deps --no-compile ./impasto . \
    && rm -r /opt/impasto/lib/python3*/site-packages/trainer /opt/impasto/bin/impasto-train
WORKDIR /
RUN sh /src/docker/install.sh slim 'import service.cli.main, service.cli.server'

# The base without its shell, package managers and other programs.
FROM ${BASE} AS bare
RUN groupadd --gid 10001 impasto && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp impasto \
    && install --directory --owner 10001 --group 10001 /learned
COPY docker/strip.py /
RUN ["python3", "-I", "/strip.py"]

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="impasto-service" \
      org.opencontainers.image.description="Style transfer and super-resolution over HTTP" \
      org.opencontainers.image.licenses="Apache-2.0 AND CC0-1.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# This stage removes them on purpose.
# hadolint ignore=DL3067
COPY --from=bare / /
COPY --from=build /opt/impasto /opt/impasto
COPY docker/healthcheck.py /opt/impasto/
# Owned by the user, so that the trainer, with the same user, can write to a named volume over it.
COPY --chown=10001:10001 checkpoints/ /checkpoints/
ENV PATH=/opt/impasto/bin:/usr/local/bin:/usr/bin \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    IMPASTO_HOST=0.0.0.0 \
    IMPASTO_PORT=8000 \
    IMPASTO_CHECKPOINTS=/checkpoints
WORKDIR /tmp
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=120s --retries=3 \
    CMD ["python", "-I", "/opt/impasto/healthcheck.py"]
ENTRYPOINT ["impasto"]
CMD ["serve"]
