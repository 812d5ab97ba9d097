# syntax=docker/dockerfile:1
# Assent as a small image: docker build -t assent:local --build-arg ASSENT_REVISION=$(git rev-parse HEAD) .
# Its folder is /assent: assent.yaml (mount one, or set ASSENT__SECTION__KEY), rules/, keys/, state/.

FROM rust:1.95-slim-trixie AS build
# librdkafka: make and a C++ compiler; OpenSSL, which is built along: all of Perl.
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ make perl \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build

# The dependencies, in a layer that lasts until they change: with nothing of Assent but its manifest.
COPY Cargo.toml Cargo.lock build.rs ./
COPY benches benches
RUN mkdir -p src tests/it \
 && touch src/lib.rs tests/it/main.rs \
 && echo 'fn main() {}' > src/main.rs \
 && cargo build --release --locked --bin assent

# Which revision this is; asked for only here, so that it doesn't rebuild the dependencies.
ARG ASSENT_REVISION=unknown
ENV ASSENT_REVISION=$ASSENT_REVISION
COPY schemas schemas
COPY rules rules
COPY src src
# COPY keeps the times of the files: without touch they could be older than what stood in for them.
RUN touch src/lib.rs src/main.rs \
 && cargo build --release --locked --bin assent \
 && strip --strip-debug target/release/assent

FROM debian:trixie-slim
# ca-certificates: brokers over TLS whose authority is a public one.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --user-group --no-create-home --home-dir /assent --shell /usr/sbin/nologin assent \
 && install -d -o assent -g assent -m 0750 /assent /assent/keys /assent/state
COPY --from=build /build/target/release/assent /usr/local/bin/assent
COPY rules /assent/rules
WORKDIR /assent
USER 10001:10001
# A new volume gets this folder's owner.
VOLUME ["/assent/state"]
EXPOSE 9464
STOPSIGNAL SIGTERM
ENTRYPOINT ["assent"]
CMD ["run"]
