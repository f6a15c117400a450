# An image with the checkpoints only, for k8s/components/checkpoints-oci.
#
#   (cd checkpoints && sha256sum */*.safetensors > SHA256SUMS)
#   docker build -f docker/checkpoints.Dockerfile -t registry.example.com/impasto-checkpoints:1 checkpoints
#
# SHA256SUMS must exist and be correct: the service then serves only the files that it lists.
ARG BASE=python:3.11-slim
FROM ${BASE} AS verified
COPY . /checkpoints/
WORKDIR /checkpoints
RUN sha256sum --strict --check SHA256SUMS

FROM scratch
LABEL org.opencontainers.image.title="impasto-checkpoints"
COPY --from=verified /checkpoints/ /
USER 10001:10001
