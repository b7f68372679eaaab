//! What an HTTP answer means for the batch that was sent.

use std::time::Duration;

use protocol::BatchAck;

use super::Answer;

/// An ack takes a few dozen bytes, a problem document a few hundred.
const MAX_BODY: usize = 64 * 1024;
pub(super) async fn read<E: std::fmt::Display>(
    response: reqwest::Result<reqwest::Response>,
    decode: impl Fn(&[u8]) -> Result<BatchAck, E>,
) -> Answer {
    let mut response = match response {
        Ok(response) => response,
        Err(error) => return wait(format!("no connection to the collector: {}", chain(&error))),
    };
    let status = response.status().as_u16();
    let after = response.headers().get(reqwest::header::RETRY_AFTER).and_then(|v| v.to_str().ok()).and_then(retry_after);
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= MAX_BODY => body.extend_from_slice(&chunk),
            Ok(Some(_)) => return wait("the collector's answer is too long".into()),
            Ok(None) => break,
            Err(error) => return wait(format!("the collector's answer broke off: {}", chain(&error))),
        }
    }
    judge(status, after, &body, decode)
}

fn judge<E: std::fmt::Display>(status: u16, after: Option<Duration>, body: &[u8], decode: impl Fn(&[u8]) -> Result<BatchAck, E>) -> Answer {
    match status {
        200 => match decode(body) {
            Ok(ack) => Answer::Ack(ack),
            Err(error) => wait(format!("the collector's answer can't be read: {error}")),
        },
        400 | 413 | 422 => Answer::Refused { status, detail: problem_text(body) },
        401 | 403 => {
            let reason = format!(
                "the collector does not admit this gateway ({status} {}): enroll it (again) with a token for its id, or enable it there",
                problem_text(body)
            );
            Answer::Unwelcome { reason, after }
        }
        _ => Answer::Wait { reason: format!("the collector answers {status} {}", problem_text(body)), after },
    }
}

fn wait(reason: String) -> Answer {
    Answer::Wait { reason, after: None }
}

/// `Retry-After` in seconds; the form with a date is not used between gateway and collector.
fn retry_after(value: &str) -> Option<Duration> {
    value.trim().parse().ok().map(Duration::from_secs)
}

/// The readable part of a problem document (RFC 9457), or the beginning of whatever was sent.
pub fn problem_text(body: &[u8]) -> String {
    let problem: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let field = |name: &str| problem.as_ref().and_then(|p| p.get(name)).and_then(|v| v.as_str()).unwrap_or_default();
    let text = match (field("title"), field("detail")) {
        ("", "") => String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned(),
        (title, "") => title.into(),
        ("", detail) => detail.into(),
        (title, detail) => format!("{title}: {detail}"),
    };
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

/// An error with its causes: reqwest's own text hides that it was the certificate.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, after: Option<&str>, body: &[u8]) -> Answer {
        judge(status, after.and_then(retry_after), body, |_| Err::<BatchAck, _>("no ack"))
    }

    #[test]
    fn retry_after_is_taken_as_it_is_asked() {
        let Answer::Wait { after, .. } = judged(503, Some("7"), b"") else { panic!("503 is a reason to wait") };
        assert_eq!(after, Some(Duration::from_secs(7)));
        let Answer::Wait { after, .. } = judged(429, Some("Wed, 21 Oct 2026 07:28:00 GMT"), b"") else { panic!("429 is a reason to wait") };
        assert_eq!(after, None);
    }

    #[test]
    fn refused_content_is_told_from_a_refused_gateway() {
        assert!(matches!(judged(400, None, b""), Answer::Refused { status: 400, .. }));
        assert!(matches!(judged(413, None, b""), Answer::Refused { status: 413, .. }));
        let body = br#"{"title":"Forbidden","detail":"press-gw1 is disabled"}"#;
        let Answer::Unwelcome { reason, .. } = judged(403, None, body) else { panic!("403 is about the gateway") };
        assert!(reason.contains("press-gw1 is disabled") && reason.contains("enroll"), "{reason}");
    }

    #[test]
    fn an_answer_that_is_no_ack_is_no_reason_to_delete() {
        assert!(matches!(judged(200, None, b"<html>"), Answer::Wait { .. }));
    }

    #[test]
    fn a_problem_is_shown_without_control_characters() {
        assert_eq!(problem_text(b"bad\x1b[31m\nthing"), "bad[31mthing");
    }
}
