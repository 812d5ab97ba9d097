//! README.md of an export: what it is, and how a recipient checks it with public tools.

use assent_evidence::export::manifest::Question;

use super::super::super::when;
use super::log::Located;
use assent_contract::domain::time::Timestamp;

/// Depends on the question and the checkpoint alone.
pub fn text(question: &Question, log: Option<&Located>) -> String {
    let what = what(question);
    let mut text = format!(
        "# Audit export\n\n{what}\n\nThe decisions of Assent lie in batches. Each names the SHA-256 of the batch before it in its \
         chain. An export\nholds whole batches, so a batch also has entries of other subjects. Subjects are there by keyed \
         tokens only.\n\n{FILES}\n"
    );
    match log {
        Some(log) => text.push_str(&signed(&log.checkpoint.origin)),
        None => text.push_str(UNSIGNED),
    }
    text.push_str(CHECK);
    text.push_str(READ);
    text
}

fn what(question: &Question) -> String {
    let at = |time: Option<i64>| time.map(|time| when::text(Timestamp(time))).unwrap_or_default();
    match question.subjects.as_slice() {
        [] => format!(
            "Every batch that was decided from {} on and before {}.",
            at(question.from),
            at(question.to)
        ),
        tokens => format!(
            "Every batch with an entry of one subject, whose tokens are `{}`.",
            tokens.join("`, `")
        ),
    }
}

const FILES: &str = "\
| path | what it is |
|---|---|
| `manifest.json` | the question, the chains, and the SHA-256 of every other file |
| `manifest.json.sha256` | the SHA-256 of the manifest, as `sha256sum` prints it |
| `batches/*.avro` | the batches of one chain: Avro object container files, uncompressed, one batch a block |
| `proofs/*.jsonl` | for each batch, in the same order, its line in the published log and the way to the log's root |
| `checkpoint` | the signed root of the published log |
| `schemas/` | the schema of the batches |
| `rulebooks/` | the rulebooks that decided, each under the SHA-256 of its file, as a batch's `rulebook_sha256` names it |
";

const UNSIGNED: &str = "
No log was published: there are neither proofs nor a checkpoint. The chains show that nothing between two batches was
changed or left out. They don't show that nobody wrote the chains anew.
";

fn signed(origin: &str) -> String {
    format!(
        "
## The signature

The log is `{origin}`. Get its verifier key (`{origin}+<hash>+<base64>`) from the publisher on a way that whoever sent
this export does not control. `golang.org/x/mod/sumdb/note` opens the checkpoint; so does OpenSSL 3:

```sh
export KEY='{origin}+<hash>+<base64>'
sed '/^$/,$d' checkpoint > text
grep '^— ' checkpoint | awk '{{print $3}}' | base64 -d | tail -c 64 > signature
{{ printf '\\x30\\x2a\\x30\\x05\\x06\\x03\\x2b\\x65\\x70\\x03\\x21\\x00'; echo \"$KEY\" | cut -d+ -f3- | base64 -d | tail -c 32; }} > key.der
openssl pkeyutl -verify -pubin -keyform DER -inkey key.der -rawin -in text -sigfile signature
```
"
    )
}

const CHECK: &str = r#"
## Files, chains and proofs

`assent audit verify --export . --log-key "$KEY"` checks everything. Without Assent, Python 3 alone does. Save this as
`check.py` and run `python3 check.py` in this directory. It checks each file against the manifest, links the batches of
each chain, and follows each proof to the root of the checkpoint.

```python
import base64, hashlib, json, os

sha256 = lambda data: hashlib.sha256(data).digest()
manifest = open("manifest.json", "rb").read()
expected = open("manifest.json.sha256", "rb").read()
assert expected == sha256(manifest).hex().encode() + b"  manifest.json\n", "manifest.json is altered"
manifest = json.loads(manifest)
for file in manifest["files"]:
    data = open(file["path"], "rb").read()
    assert sha256(data).hex() == file["sha256"], file["path"] + " is altered"

def long(data, at):  # Avro: zigzag, seven bits a byte
    value = shift = 0
    while True:
        byte, at = data[at], at + 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return (value >> 1) ^ -(value & 1), at

def text(data, at):
    size, at = long(data, at)
    return data[at:at + size], at + size

def bodies(path):
    data, at = open(path, "rb").read(), 4
    while True:  # the header: a map, then the mark
        count, at = long(data, at)
        if count == 0:
            break
        for _ in range(2 * count):
            _, at = text(data, at)
    at += 16
    while at < len(data):
        count, at = long(data, at)
        body, at = text(data, at)
        at += 16
        yield body

def follow(entry, index, size, proof):  # an inclusion proof of RFC 9162
    node, last, root = index, size - 1, sha256(b"\0" + entry)
    for step in (base64.b64decode(it) for it in proof):
        if node & 1 or node == last:
            root = sha256(b"\1" + step + root)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            root = sha256(b"\1" + root + step)
        node, last = node >> 1, last >> 1
    assert last == 0
    return root

if manifest["log"]:
    origin, size, root = open("checkpoint").read().split("\n")[:3]
total = 0
for chain in manifest["chains"]:
    proofs = open(chain["proofs"]) if chain["proofs"] else None
    expected = [n for first, last in chain["runs"] for n in range(first, last + 1)]
    before = None
    for sequence, body in zip(expected, bodies(chain["batches"]), strict=True):
        name, at = text(body, 0)
        number, at = long(body, at)
        assert (name.decode(), number) == (chain["chain"], sequence), (name, number)
        if before and before[0] + 1 == sequence:
            assert body[at:at + 32] == sha256(before[1]), f"{chain['chain']} {sequence}: not linked"
        if proofs:
            line = json.loads(proofs.readline())
            entry = line["entry"].split(" ")
            assert entry[1:4] == [chain["chain"], str(sequence), sha256(body).hex()], line
            reached = follow(line["entry"].encode(), line["index"], int(size), line["proof"])
            assert base64.b64encode(reached).decode() == root, f"{chain['chain']} {sequence}: no proof"
        before, total = (sequence, body), total + 1
print(total, "batches are what the manifest", "and the log say" if manifest["log"] else "says")
```
"#;

const READ: &str = "
## Reading the batches

Any Avro tool reads `batches/*.avro`, for example `avro-tools tojson` or Python's fastavro. The fields are explained in
`schemas/audit_batch.avsc`. `verdicts` stand in the order of the batch's `purposes`; the first three symbols of the
enumeration allow.
";
