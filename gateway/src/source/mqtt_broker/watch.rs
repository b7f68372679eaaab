//! Sees what the broker refuses. rumqttd disconnects a client that sends too large a packet or a wrong password, and says so only in its
//! log events; here those are caught on the server's thread and turned into counted events of the source.

use std::fmt::Write as _;

use tracing::{Event as LogEvent, Level, Subscriber, field};
use tracing_subscriber::{Layer, filter::filter_fn, layer::Context, prelude::*, registry::Registry};

use crate::{
    clock,
    source::{Event, Feed},
};

/// Runs `body` with rumqttd's errors on this thread observed.
pub(super) fn observe(feed: Feed, body: impl FnOnce()) {
    let wanted = filter_fn(|meta| meta.is_event() && *meta.level() == Level::ERROR && meta.target().starts_with("rumqttd"));
    let subscriber = Registry::default().with(Watch { feed }.with_filter(wanted));
    tracing::subscriber::with_default(subscriber, body);
}

struct Watch {
    feed: Feed,
}

impl<S: Subscriber> Layer<S> for Watch {
    fn on_event(&self, event: &LogEvent<'_>, _: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        let happened = match refusal(&text.0) {
            Some(Refusal::TooLarge { bytes }) => Event::TooLarge { bytes, received: clock::now() },
            Some(Refusal::NotAdmitted) => Event::NotAdmitted,
            None => return,
        };
        // Without waiting: this thread carries every connection. What finds no room is counted by the feed.
        self.feed.offer(happened);
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    TooLarge { bytes: u64 },
    NotAdmitted,
}

/// Reads one of rumqttd's errors. The two forms of the first are the error's `Debug` (packet that arrives alone) and its `Display` wrapped
/// in an I/O error (packet that arrives behind another one).
fn refusal(text: &str) -> Option<Refusal> {
    for lead in ["PayloadSizeLimitExceeded(", "Payload size has been exceeded by "] {
        if let Some((_, rest)) = text.split_once(lead) {
            let digits = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
            return Some(Refusal::TooLarge { bytes: digits.parse().unwrap_or(0) });
        }
    }
    text.contains("InvalidAuth").then_some(Refusal::NotAdmitted)
}

#[derive(Default)]
struct Text(String);

impl field::Visit for Text {
    fn record_debug(&mut self, _: &field::Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0, "{value:?} ");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_too_large_packet_are_read_with_their_size() {
        let alone = "Network(Protocol(PayloadSizeLimitExceeded(10485790))) disconnected ";
        let behind = "Network(Io(Custom { kind: InvalidData, error: \"Payload size has been exceeded by 10485790 bytes\" })) disconnected";
        for text in [alone, behind] {
            assert_eq!(refusal(text), Some(Refusal::TooLarge { bytes: 10_485_790 }));
        }
        assert_eq!(refusal("InvalidAuth Error while handling MQTT connect packet"), Some(Refusal::NotAdmitted));
        assert_eq!(refusal("Network(Io(Kind(ConnectionReset)))"), None);
    }
}
