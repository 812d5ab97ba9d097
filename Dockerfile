# syntax=docker/dockerfile:1
# Assent as a small image: docker build -t assent:local --build-arg ASSENT_REVISION=$(git rev-parse HEAD) .
# Its directory /assent holds assent.yaml (mount one, or set ASSENT__SECTION__KEY), rules/, keys/ and state/.
# Both images are pinned by the digests of their indexes, which hold all platforms. To move to newer ones:
# docker buildx imagetools inspect rust:1.95-slim-trixie (and debian:trixie-slim), and write down its Digest.

FROM rust:1.95-slim-trixie@sha256:ee4fa026a11f9e8b1b00568364a880dc720409bb94b0e6800f63f974f9c909d5 AS build
# librdkafka needs make and a C++ compiler; OpenSSL, which is built too, needs all of Perl.
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ make perl \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build

# Build the dependencies in a layer of their own, which is reused until they change.
COPY Cargo.toml Cargo.lock build.rs ./
COPY benches benches
COPY crates/contract/Cargo.toml crates/contract/
COPY crates/core/Cargo.toml crates/core/
COPY crates/evidence/Cargo.toml crates/evidence/
COPY crates/inquiry/Cargo.toml crates/inquiry/
COPY crates/report/Cargo.toml crates/report/
COPY crates/intake/Cargo.toml crates/intake/
COPY crates/sim/Cargo.toml crates/sim/
COPY crates/verify/Cargo.toml crates/verify/
COPY crates/what-if/Cargo.toml crates/what-if/
RUN mkdir -p src tests/it crates/contract/benches crates/core/benches \
 && touch src/lib.rs tests/it/main.rs crates/contract/benches/avro.rs crates/core/benches/heart.rs \
 && for crate in crates/*; do mkdir -p $crate/src; touch $crate/src/lib.rs; done \
 && echo 'fn main() {}' > src/main.rs \
 && cargo build --profile dist --features tls-vendored --locked --bin assent

# The revision. It is declared only here, so that a new one doesn't rebuild the dependencies.
ARG ASSENT_REVISION=unknown
ENV ASSENT_REVISION=$ASSENT_REVISION
COPY schemas schemas
COPY rules rules
# The page of `assent demo`.
COPY clients/js clients/js
COPY examples/shop examples/shop
COPY crates crates
COPY src src
# COPY keeps file times: without touch, the files could be older than the placeholders above.
RUN touch src/lib.rs src/main.rs crates/*/src/lib.rs \
 && cargo build --profile dist --features tls-vendored --locked --bin assent \
 && strip --strip-debug target/dist/assent

FROM debian:trixie-slim@sha256:a29215f6a35e51e22adffa17f89e9d2ef06214e64a2bad10d765c46aea49f11f
# ca-certificates is for brokers whose TLS certificate comes from a public authority.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --user-group --no-create-home --home-dir /assent --shell /usr/sbin/nologin assent \
 && install -d -o assent -g assent -m 0750 /assent /assent/keys /assent/state
COPY --from=build /build/target/dist/assent /usr/local/bin/assent
COPY rules /assent/rules
COPY LICENSE NOTICE THIRD_PARTY_LICENSES.md /usr/share/doc/assent/
WORKDIR /assent
USER 10001:10001
# A new volume gets the owner of this directory.
VOLUME ["/assent/state"]
EXPOSE 9464
STOPSIGNAL SIGTERM
ENTRYPOINT ["assent"]
CMD ["run"]
