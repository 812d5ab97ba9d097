//! What this very user may do with topics and group, as findings. Nobody can be asked about transactional ids:
//! `run` finds out as it begins.

use super::Finding;
use crate::config::Config;
use crate::kafka::missing;
use crate::kafka::probe::Probe;
use crate::kafka::rights::{Need, of_assent};
use crate::kafka::topic_plan::TopicPlan;

const CHECK: &str = "rights";

pub fn findings(config: &Config, probe: &Probe, plans: &[TopicPlan]) -> Vec<Finding> {
    let needs = of_assent(config, plans);
    match missing::find(probe, &needs) {
        Ok(missing) => {
            let vital: Vec<Need> = missing.into_iter().filter_map(Need::without_settings).collect();
            if vital.is_empty() {
                let detail = "this user may do what `run` does with the topics and the group";
                return vec![Finding::ok(CHECK, detail)];
            }
            let refused =
                |need: &Need| Finding::refusal(CHECK, need.is_missing(), need.remedy(config));
            vital.iter().map(refused).collect()
        }
        Err(error) => {
            let detail =
                format!("not checked: the brokers don't say what this user may do ({error})");
            vec![Finding::ok(CHECK, detail)]
        }
    }
}
