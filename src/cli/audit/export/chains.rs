//! The batches of each chain, and their proofs, as files.

use std::collections::BTreeSet;

use assent_evidence::entry::Entry;
use assent_evidence::export::container::Container;
use assent_evidence::export::manifest;
use indicatif::ProgressBar;

use super::folder::Folder;
use super::log::{Located, Prover};
use crate::config::Config;
use crate::failure::Result;
use crate::kafka::scan::Scan;
use assent_contract::domain::audit::chain::body_hash;
use assent_contract::domain::audit::{Outline, Sha256Hash};
use assent_contract::wire::SchemaName;
use assent_contract::wire::framing::Framed;

/// Batches that lie closer together are read by one reader.
const NEAR: i64 = 10_000;

/// The batches of one chain that are exported.
pub struct Chain {
    pub name: String,
    pub partition: i32,
    /// In the order of the topic.
    pub batches: Vec<Batch>,
}

pub struct Batch {
    /// Its offset.
    pub at: i64,
    pub sequence: i64,
    pub rulebook: Sha256Hash,
    /// An accepted loss has none.
    pub has_rulebook: bool,
}

/// What is in the export now.
#[derive(Default)]
pub struct Written {
    pub chains: Vec<manifest::Chain>,
    pub batches: u64,
    /// What could not be exported, and why.
    pub left_out: Vec<String>,
}

pub struct Writer<'a> {
    pub config: &'a Config,
    pub folder: &'a Folder,
    pub log: Option<&'a Located>,
}

impl Writer<'_> {
    pub fn write(&self, chains: &[Chain], bar: &ProgressBar) -> Result<Written> {
        let prover = self.log.map(Located::prover).transpose()?;
        let (mut written, mut names) = (Written::default(), BTreeSet::new());
        for chain in chains {
            let name = file_name(&chain.name, &mut names);
            self.chain(chain, &name, prover.as_ref(), bar, &mut written)?;
        }
        Ok(written)
    }

    fn chain(
        &self,
        chain: &Chain,
        name: &str,
        prover: Option<&Prover<'_>>,
        bar: &ProgressBar,
        written: &mut Written,
    ) -> Result<()> {
        let container = Container::new(SchemaName::AuditBatch.json());
        let batches = format!("batches/{name}.avro");
        let proofs = prover.map(|_| format!("proofs/{name}.jsonl"));
        let mut file = self.folder.begin(&batches)?;
        file.write(&container.header())?;
        let mut lines = proofs.as_ref().map(|path| self.folder.begin(path)).transpose()?;
        let mut sequences = Vec::new();
        self.bodies(chain, |at, body| {
            bar.inc(1);
            let mut leave_out = |why: &str| {
                let (topic, partition) = (&self.config.topics.audit, chain.partition);
                let place = format!("topic {topic}, partition {partition}, offset {at}");
                written.left_out.push(format!("{place}: {why}, and is left out"));
                Ok(())
            };
            let outline = Outline::read(body).ok().filter(|it| it.chain == chain.name);
            let Some(outline) = outline else {
                return leave_out("the batch was written with another schema");
            };
            let entry = Entry {
                chain: chain.name.clone(),
                sequence: outline.sequence,
                sha256: body_hash(body),
                decided_at: outline.decided_at.0,
            };
            if let Some((prover, lines)) = prover.zip(lines.as_mut()) {
                let Some(line) = prover.line(&entry)? else {
                    return leave_out("the batch is not the one that was published");
                };
                lines.write(line.as_bytes())?;
            }
            sequences.push(outline.sequence);
            written.batches += 1;
            file.write(&container.block(body))
        })?;
        file.finish()?;
        lines.map_or(Ok(()), super::folder::Draft::finish)?;
        let (chain, runs) = (chain.name.clone(), runs(sequences));
        written.chains.push(manifest::Chain { chain, batches, proofs, runs });
        Ok(())
    }

    /// The bodies of a chain's batches, without their framing.
    fn bodies(&self, chain: &Chain, mut each: impl FnMut(i64, &[u8]) -> Result<()>) -> Result<()> {
        for near in chain.batches.chunk_by(|a, b| b.at - a.at < NEAR) {
            let (Some(first), Some(last)) = (near.first(), near.last()) else { continue };
            let range = (first.at, last.at + 1);
            let topic = &self.config.topics.audit;
            let mut scan = Scan::open(self.config, topic, chain.partition, range.0, range.1)?;
            while let Some(record) = scan.next_record()? {
                let is_wanted = near.binary_search_by_key(&record.offset, |it| it.at).is_ok();
                let value = record.value.as_deref().unwrap_or_default();
                if let Some(body) = Framed::split(value).body().filter(|_| is_wanted) {
                    each(record.offset, body)?;
                }
            }
        }
        Ok(())
    }
}

/// Of letters, digits, `.`, `_` and `-`; no two chains have the same.
fn file_name(chain: &str, taken: &mut BTreeSet<String>) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let name: String = chain.replace('/', "-").chars().map(legal).collect();
    let numbered = (2..).map(|number| format!("{name}_{number}"));
    let free = std::iter::once(name.clone()).chain(numbered).find(|it| !taken.contains(it));
    let free = free.unwrap_or(name);
    taken.insert(free.clone());
    free
}

/// First and last of each run without a gap.
fn runs(mut sequences: Vec<i64>) -> Vec<(i64, i64)> {
    sequences.sort_unstable();
    sequences.dedup();
    let runs = sequences.chunk_by(|a, b| a + 1 == *b);
    runs.filter_map(|run| Some((*run.first()?, *run.last()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_end_at_gaps() {
        assert_eq!(runs(vec![3, 1, 2, 7, 7, 9]), [(1, 3), (7, 7), (9, 9)]);
        assert_eq!(runs(vec![]), []);
    }

    #[test]
    fn a_file_name_is_legal_and_unique() {
        let mut taken = BTreeSet::new();
        let names: Vec<String> =
            ["shop.a/0", "shop_a/0", "shop/1", "../x/0"].map(|it| file_name(it, &mut taken)).into();
        assert_eq!(names, ["shop_a-0", "shop_a-0_2", "shop-1", "__-x-0"]);
    }
}
