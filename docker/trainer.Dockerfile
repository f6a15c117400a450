# The trainer: python -m trainer, as outside of a container.
#
#   docker build -f docker/trainer.Dockerfile -t impasto-trainer:0.1.0-cpu .                                   CPU
#   docker build -f docker/trainer.Dockerfile -t impasto-trainer:0.1.0-cuda --build-arg VARIANT=cuda .     GPU
#   docker build -f docker/trainer.Dockerfile -t impasto-trainer:vgg16 --target vgg16 .              VGG16 baked in
#
# Arguments and mounts: docs/deploy.md.
ARG BASE=python:3.11-slim

FROM ${BASE} AS build
ARG VARIANT=cpu
ARG TORCH_INDEX_URL=
ARG TORCH_VERSION=
WORKDIR /src
COPY pyproject.toml requirements.lock ./
COPY docker/install.sh docker/
RUN --mount=type=cache,target=/root/.cache/pip sh docker/install.sh torch torchvision
COPY nets/ /app/nets/
COPY trainer/ /app/trainer/
WORKDIR /app
RUN sh /src/docker/install.sh slim 'import trainer.commands.main'

# The base without its shell, package managers and other programs.
FROM ${BASE} AS bare
RUN groupadd --gid 10001 impasto && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp impasto \
    && install --directory --owner 10001 --group 10001 /app/runs /checkpoints /learned /vgg16
COPY docker/strip.py /
RUN ["python3", "-I", "/strip.py"]

FROM scratch AS trainer
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="impasto-trainer" \
      org.opencontainers.image.description="Trains the networks of Impasto" \
      org.opencontainers.image.licenses="Apache-2.0 AND CC0-1.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# This stage removes them on purpose.
# hadolint ignore=DL3067
COPY --from=bare / /
COPY --from=build /opt/impasto /opt/impasto
COPY --from=build /app /app
COPY checkpoints/ /app/checkpoints/
ENV PATH=/opt/impasto/bin:/usr/local/bin:/usr/bin \
    LANG=C.UTF-8 \
    PYTHONPATH=/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    TORCH_HOME=/vgg16
WORKDIR /app
USER 10001:10001
ENTRYPOINT ["python", "-m", "trainer"]
CMD ["--help"]

FROM ${BASE} AS fetched
ARG VGG16_URL=https://download.pytorch.org/models
ARG VGG16_FILE=vgg16-397923af.pth
ARG VGG16_SHA256_PREFIX=397923af
COPY docker/fetch.py /src/
RUN python3 -I /src/fetch.py "${VGG16_URL}/${VGG16_FILE}" "${VGG16_SHA256_PREFIX}" "/opt/vgg16/${VGG16_FILE}"

FROM trainer AS vgg16
ARG VGG16_FILE=vgg16-397923af.pth
COPY --from=fetched /opt/vgg16 /opt/vgg16
ENV IMPASTO_VGG16=/opt/vgg16/${VGG16_FILE}

# The default target: without VGG16.
FROM trainer
