# syntax=docker/dockerfile:1
# The container of one function: docker build --build-arg FUNCTION=receiver .
#
# The dependencies are a layer of their own, made by cargo-chef from the manifests alone: it is rebuilt when Cargo.lock or a
# manifest changes, and not for a line of source. (A cache mount would be simpler, but Cloud Build's workers are fresh, and only
# layers can be kept in the registry.) All functions are built at once, as they share nearly everything, so the layers are the same
# for each FUNCTION, and the second image costs a copy.
#
# The image is `scratch` and what scripts/build-rootfs puts there: the binary, glibc, certificate authorities, the catalog; no shell,
# no packages, nobody's root. glibc and not musl: aws-lc-sys and zstd-sys are C and would need a second C toolchain, and musl's
# allocator takes one lock for all threads; what it costs is three libraries of 3 MB together.

ARG RUST_VERSION=1.95

FROM rust:${RUST_VERSION}-bookworm AS chef
RUN cargo install --locked cargo-chef --version 0.1.78
WORKDIR /src

FROM chef AS plan
COPY . .
RUN cargo chef prepare --recipe-path recipe.json && scripts/functions | sed 's/^/-p/' >packages

FROM chef AS build
COPY --from=plan /src/recipe.json /src/packages ./
RUN cargo chef cook --locked --profile dist --recipe-path recipe.json $(cat packages)
COPY . .
RUN cargo build --locked --profile dist $(cat packages)
ARG FUNCTION
# The folder of the catalog.
ARG CATALOG=.
RUN PIPAS_CATALOG_DIR="$CATALOG" scripts/build-rootfs "${FUNCTION:?name one with --build-arg FUNCTION=receiver}" /rootfs "target/dist/$FUNCTION"

FROM scratch
COPY --from=build /rootfs/ /
USER 65532:65532
ENV PORT=8080
EXPOSE 8080
ENTRYPOINT ["/function"]
