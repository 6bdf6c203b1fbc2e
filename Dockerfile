# One static binary and nothing else: no shell, no libraries, nothing to patch but itself.
#
# There is no `# syntax` line on purpose: it would fetch the frontend from a registry even where
# every image is at hand. Pin the base by its digest through RUST_IMAGE where builds must repeat.

ARG RUST_IMAGE=rust:1.95-bookworm

FROM ${RUST_IMAGE} AS build
ARG TARGET=x86_64-unknown-linux-gnu
# Shown by `towline_build_info`.
ARG REVISION=unknown
WORKDIR /src
COPY . .
# --target keeps crt-static away from proc macros and build scripts, which cannot be static. The
# target folder is a cache and gone afterwards, so the binary is taken out of it in the same step.
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
# In a container the loopback is nobody's: what may reach these ports is the network's decision.
ENV TOWLINE_SERVER__LISTEN=0.0.0.0:9000 \
    TOWLINE_SERVER__ADMIN=0.0.0.0:9464
# A number, so that Kubernetes can see that it isn't root.
USER 65532:65532
EXPOSE 9000/tcp 9464/tcp
# Drains: what was read is answered. Give it timeouts.drain (30 s) before it is killed.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=5s --retries=3 CMD ["/towline", "health", "--ready"]
ENTRYPOINT ["/towline"]
CMD ["serve"]
