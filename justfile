# What a person runs, by name; `bash .ci/run` is all of it. CONTRIBUTING.md says what each takes.

# List what there is.
default:
    @just --list

# Format, lints, house rules, documents: what needs no broker and no minutes.
check:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings
    cargo test --test tidy
    scripts/mutations --check

# Everything that needs no broker: unit tests, the pure tests, the house rules, 200 histories.
test *ARGS:
    cargo test --workspace --lib --test pure --test tidy --test sim {{ARGS}}

# Histories of the simulator, optimized: `just sim`, `just sim 100000`, `just sim 1 4711` for one seed.
sim SEEDS="10000" FIRST="0":
    SIM_SEEDS={{SEEDS}} SIM_SEED={{FIRST}} cargo test --profile sim -p assent-sim --test sim

# Tests on a real Kafka: all, or those whose name has FILTER. Nothing may be left out.
it FILTER="":
    CI=true cargo test --test it -- --nocapture {{FILTER}}

# What a click costs on a real Kafka (docs/performance.md).
bench *ARGS:
    scripts/bench {{ARGS}}

# Writes the generated documents anew.
docs:
    UPDATE_DOCS=1 cargo test --lib config
    UPDATE_DOCS=1 cargo test --lib telemetry
    UPDATE_DOCS=1 cargo test --test tidy
    UPDATE_DOCS=1 cargo test --test it current

# All of CI.
ci:
    bash .ci/run
