# Two images of one repository:
#
#   docker build --target service  -t convergence .
#   docker build --target dataflow -t REGION-docker.pkg.dev/PROJECT/REPOSITORY/convergence-job:TAG .
#
# service is the service without the embedded cloud, dataflow the launcher of the Flex
# Template. `make image-check` takes the steps of both without Docker, and runs what they
# build; `make template` writes the container spec that launches name.

ARG GO_IMAGE=golang:1.26-bookworm
ARG SERVICE_BASE=gcr.io/distroless/static-debian12:nonroot
ARG LAUNCHER_BASE=gcr.io/dataflow-templates-base/go-template-launcher-base:latest

FROM ${GO_IMAGE} AS source
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .

FROM source AS build-service
ARG VERSION=dev
RUN make image-service VERSION=${VERSION}

FROM source AS build-dataflow
ARG VERSION=dev
RUN make image-job VERSION=${VERSION}

FROM ${SERVICE_BASE} AS service
COPY --from=build-service /src/bin/image/convergence /usr/local/bin/convergence
# Folders of runs; mount something that outlives the container.
ENV CONVERGENCE_DATA_DIR=/var/lib/convergence
VOLUME /var/lib/convergence
EXPOSE 8001
ENTRYPOINT ["/usr/local/bin/convergence"]
CMD ["serve", "--addr", "0.0.0.0:8001"]

FROM ${LAUNCHER_BASE} AS dataflow
WORKDIR /dataflow/template
COPY --from=build-dataflow /src/bin/image/convergence-job /dataflow/template/convergence-job
# The launcher of the base image runs this file with the template's parameters as flags.
# The same file is staged as the binary of the workers.
ENV FLEX_TEMPLATE_GO_BINARY=/dataflow/template/convergence-job
