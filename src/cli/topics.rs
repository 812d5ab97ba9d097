//! `assent topics create`: makes what is missing, leaves what is there, and says what differs.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::{Globals, stdout};
use crate::clock::SystemClock;
use crate::config::{Config, load_rulebook};
use crate::failure::{Exit, Failure, Result};
use crate::kafka::admin::{Admin, Cluster};
use crate::kafka::topic_plan::{TopicPlan, served_topic_plans, topic_plans};
use crate::registry;
use crate::registry::client::Client;

/// Create the topics that Assent needs
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent topics create")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Create(CreateArgs),
}

/// Create every missing topic; leave existing topics as they are and report differences
///
/// If a schema registry is configured, also registers the schemas of the values. Choose the number
/// of partitions with care: it can't be changed later, and it limits the number of instances.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent topics create --partitions 24")]
struct CreateArgs {
    /// Partitions of each topic
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(i32).range(1..=10_000))]
    partitions: i32,
    /// Replicas of each partition [default: 3 if there are that many brokers, else 1]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(i32).range(1..=100))]
    replication_factor: Option<i32>,
}

pub fn execute(args: &Args, globals: &Globals) -> Result<()> {
    let Command::Create(args) = &args.command;
    let config = globals.load_config()?;
    let rulebook = load_rulebook(&config.rulebook)?.rulebook;
    let mut plans = topic_plans(&config, &rulebook);
    plans.extend(served_topic_plans(&config));
    let client = registry::client(&config)?;
    let admin = Admin::new(&config)?;
    let cluster = admin.cluster()?;
    let replication = replication(args.replication_factor, &cluster)?;
    let created = create_missing(&admin, &cluster, &plans, args.partitions, replication)?;
    let cluster = admin.await_topics(&plans, &SystemClock)?;
    let found = existing_settings(&admin, &created, &plans)?;
    for plan in &plans {
        let count = cluster.topics.get(&plan.name).copied().unwrap_or_default();
        let made = if created.contains(plan.name.as_str()) {
            Made::Created
        } else {
            Made::Exists(differences(plan, count, args.partitions, found.get(&plan.name)))
        };
        report(&plan.name, &made, count, globals.json)?;
    }
    let purposes: Vec<String> = rulebook.purposes.into_iter().map(|p| p.id).collect();
    client.map_or(Ok(()), |client| register(&config, &client, &purposes, globals.json))
}

/// The schemas of the topics' values, under `<topic>-value`.
fn register(config: &Config, client: &Client, purposes: &[String], is_json: bool) -> Result<()> {
    let served = registry::served(config);
    let written = registry::outputs(config, purposes).into_iter().chain(served);
    for subject in registry::inputs(config).into_iter().chain(written) {
        let name = subject.name();
        let id = registry::register(client, &subject, &SystemClock)?;
        if is_json {
            stdout::json(&json!({ "subject": name, "id": id }))?;
        } else {
            stdout::line(&format!("{name}: schema id {id}"))?;
        }
    }
    Ok(())
}

/// The names of those made now.
fn create_missing<'a>(
    admin: &Admin,
    cluster: &Cluster,
    plans: &'a [TopicPlan],
    partitions: i32,
    replication: i32,
) -> Result<BTreeSet<&'a str>> {
    let mut created = BTreeSet::new();
    for plan in plans.iter().filter(|plan| !cluster.topics.contains_key(&plan.name)) {
        if admin.create(plan, partitions, replication)? {
            created.insert(plan.name.as_str());
        }
    }
    Ok(created)
}

fn replication(asked: Option<i32>, cluster: &Cluster) -> Result<i32> {
    match asked {
        Some(count) if count as usize > cluster.brokers => Err(Failure::new(
            Exit::Usage,
            format!(
                "--replication-factor {count}: the cluster has only {} brokers; use at most that",
                cluster.brokers
            ),
        )),
        Some(count) => Ok(count),
        None => Ok(cluster.usual_replication()),
    }
}

type Settings = BTreeMap<String, String>;

fn existing_settings(
    admin: &Admin,
    created: &BTreeSet<&str>,
    plans: &[TopicPlan],
) -> Result<BTreeMap<String, Settings>> {
    let existing: Vec<&str> = plans
        .iter()
        .map(|plan| plan.name.as_str())
        .filter(|name| !created.contains(name))
        .collect();
    admin.settings(&existing)
}

fn differences(plan: &TopicPlan, count: i32, asked: i32, found: Option<&Settings>) -> Vec<String> {
    let mut differences = Vec::new();
    if count != asked {
        differences.push(format!("has {count} partitions instead of {asked}"));
    }
    match found {
        Some(settings) => differences.extend(plan.differences(settings)),
        None => differences.push("this user is not allowed to read its settings".to_owned()),
    }
    differences
}

enum Made {
    Created,
    /// Left alone; in what it differs from what would have been made.
    Exists(Vec<String>),
}

fn report(topic: &str, made: &Made, partitions: i32, is_json: bool) -> Result<()> {
    let (result, differences) = match made {
        Made::Created => ("created", &[] as &[String]),
        Made::Exists(differences) => ("exists", differences.as_slice()),
    };
    if is_json {
        return stdout::json(&json!({
            "topic": topic,
            "result": result,
            "partitions": partitions,
            "differences": differences,
        }));
    }
    let differences = match differences {
        [] => String::new(),
        _ => format!(" ({})", differences.join("; ")),
    };
    stdout::line(&format!("{topic}: {result}, {partitions} partitions{differences}"))
}
