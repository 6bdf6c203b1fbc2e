# An image of one static binary: no shell, no libraries, no package to patch.
#
# No `# syntax` line, on purpose: it would fetch the frontend from a registry even where every image
# is local. For reproducible builds pin the base image by digest, through RUST_IMAGE.

ARG RUST_IMAGE=rust:1.95-bookworm

FROM ${RUST_IMAGE} AS build
ARG TARGET=x86_64-unknown-linux-gnu
# Shown by `towline_build_info`.
ARG REVISION=unknown
WORKDIR /src
COPY . .
# With --target, crt-static does not apply to proc macros and build scripts, which cannot be static.
# The target directory is a cache mount that later steps do not see, so this step copies the binary.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,sharing=locked \
    RUSTFLAGS="-C target-feature=+crt-static -C strip=symbols" TOWLINE_REVISION="${REVISION}" \
    cargo build --release --locked --target "${TARGET}" -p towline-cli \
    && mkdir -p /out && cp "target/${TARGET}/release/towline" /out/towline

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="towline" \
      org.opencontainers.image.description="Serves raw TCP lines through a stack of Tower layers" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
COPY --from=build /out/towline /towline
# Nothing outside a container reaches its loopback. `-p`, or the network, decides who may connect;
# publish the admin port on 127.0.0.1 only: it has no password.
# The allocator gives memory back when it is freed, not when more is allocated.
ENV TOWLINE_SERVER__LISTEN=0.0.0.0:9000 \
    TOWLINE_SERVER__ADMIN=0.0.0.0:9464 \
    MIMALLOC_PURGE_DELAY=0
# Numeric, so that Kubernetes can verify runAsNonRoot.
USER 65532:65532
EXPOSE 9000/tcp 9464/tcp
# Drains: lines that were read are answered. Allow timeouts.drain (30 s) before killing it.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=5s --retries=3 CMD ["/towline", "health", "--ready"]
ENTRYPOINT ["/towline"]
CMD ["serve"]
