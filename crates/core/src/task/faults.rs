//! What of a partition's inputs can't be read on, until it is known what lies there: nothing more of that
//! input is taken meanwhile, so no offset is passed over by accident (INV-8, INV-12).

use super::Task;
use crate::engine::input::DeadClicks;
use crate::engine::output::InputTopic;

/// Why an input can't be read on from where it was received to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub offset: i64,
    /// For a person.
    pub reason: String,
}

#[derive(Default)]
pub struct Faults {
    pub clicks: Option<Fault>,
    pub consent: Option<Fault>,
}

impl Faults {
    fn of(&mut self, input: InputTopic) -> &mut Option<Fault> {
        match input {
            InputTopic::Clickstream => &mut self.clicks,
            InputTopic::Consent => &mut self.consent,
        }
    }
}

impl Task {
    /// What comes next of this input can't be read, for this reason; the first one stays. Was it news?
    pub fn note_fault(&mut self, input: InputTopic, reason: &str) -> bool {
        let offset = self.received_of(input);
        let fault = self.faults.of(input);
        let is_news = fault.is_none();
        if is_news {
            *fault = Some(Fault { offset, reason: reason.to_owned() });
        }
        is_news
    }

    pub fn fault(&self, input: InputTopic) -> Option<&Fault> {
        match input {
            InputTopic::Clickstream => self.faults.clicks.as_ref(),
            InputTopic::Consent => self.faults.consent.as_ref(),
        }
    }

    pub fn has_fault(&self) -> bool {
        self.faults.clicks.is_some() || self.faults.consent.is_some()
    }

    /// It can be read after all, once it is fetched anew from where it was received to.
    pub fn end_fault(&mut self, input: InputTopic) {
        *self.faults.of(input) = None;
    }

    /// Of this input, where its consumer goes on.
    pub fn received_of(&self, input: InputTopic) -> i64 {
        match input {
            InputTopic::Clickstream => self.received.click,
            InputTopic::Consent => self.received.consent,
        }
    }

    /// Clicks that will never be read, from where clicks were received to.
    pub fn receive_dead(&mut self, dead: &DeadClicks) {
        if dead.first >= self.received.click && dead.first <= dead.last {
            self.received.click = dead.last + 1;
            self.clicks.push_dead(dead);
        }
    }
}
