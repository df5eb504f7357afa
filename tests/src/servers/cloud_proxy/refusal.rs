//! Refusals in the words and the form of the service that is asked, and the clocks that they speak of.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::asked::{Asked, Protocol};
use crate::servers::http1::Message;

/// An answer that says no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    pub code: String,
    pub message: String,
    /// Seconds.
    pub retry_after: Option<u32>,
    /// How far the server's clock is ahead of ours, in `Date`.
    pub hours: i64,
}

impl Refusal {
    pub fn new(status: u16, code: &str, message: &str) -> Self {
        Self { status, code: code.to_owned(), message: message.to_owned(), retry_after: None, hours: 0 }
    }

    /// With this header.
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// What the asked service says of too many requests.
    pub fn throttled(asked: &Asked) -> Self {
        let (status, code) = match (asked.service.as_str(), asked.protocol) {
            ("s3", _) => (503, "SlowDown"),
            (_, Protocol::Ec2) => (503, "RequestLimitExceeded"),
            ("lambda", _) => (429, "TooManyRequestsException"),
            (_, Protocol::RestJson) => (429, "ThrottlingException"),
            (_, Protocol::Query | Protocol::RestXml) => (400, "Throttling"),
            (_, Protocol::Json(_) | Protocol::Cbor) => (400, "ThrottlingException"),
        };
        Self::new(status, code, "Rate exceeded")
    }

    /// What the asked service says of its own trouble: 500 or 503.
    pub fn trouble(asked: &Asked, status: u16) -> Self {
        let code = match (status, asked.protocol) {
            (503, Protocol::Ec2) => "Unavailable",
            (503, Protocol::Json(_) | Protocol::RestJson | Protocol::Cbor) => "ServiceUnavailableException",
            (503, _) => "ServiceUnavailable",
            (_, Protocol::Json(_) | Protocol::RestJson | Protocol::Cbor) => "InternalServerError",
            (_, Protocol::Query) => "InternalFailure",
            (_, _) => "InternalError",
        };
        Self::new(status, code, "We encountered an internal error. Please try again.")
    }

    /// What the asked service says of a session that is over.
    pub fn expired(asked: &Asked) -> Self {
        let (status, code) = match (asked.service.as_str(), asked.protocol) {
            ("s3", _) => (400, "ExpiredToken"),
            (_, Protocol::Ec2) => (400, "RequestExpired"),
            (_, Protocol::Query) => (403, "ExpiredToken"),
            (_, Protocol::RestXml | Protocol::RestJson) => (403, "ExpiredTokenException"),
            (_, Protocol::Json(_) | Protocol::Cbor) => (400, "ExpiredTokenException"),
        };
        Self::new(status, code, "The security token included in the request is expired")
    }

    /// What the asked service, whose clock is so many hours ahead, says of a request's time.
    pub fn skewed(asked: &Asked, hours: i64) -> Self {
        let then = asked.message.header("x-amz-date").unwrap_or_default();
        let text = format!("Signature expired: {then} is now earlier than {} (now - 15 min.)", stamp(now() + hours * 3600 - 900));
        let mut this = match (asked.service.as_str(), asked.protocol) {
            ("s3", _) => Self::new(
                403,
                "RequestTimeTooSkewed",
                "The difference between the request time and the current time is too large.",
            ),
            (_, Protocol::Ec2) => Self::new(400, "RequestExpired", "Request has expired."),
            (_, Protocol::Query) => Self::new(403, "SignatureDoesNotMatch", &text),
            (_, Protocol::Json(_) | Protocol::Cbor) => Self::new(400, "InvalidSignatureException", &text),
            (_, Protocol::RestXml | Protocol::RestJson) => Self::new(403, "InvalidSignatureException", &text),
        };
        this.hours = hours;
        this
    }

    /// On the wire, in the form of who is asked.
    pub fn answer(&self, asked: &Asked) -> Message {
        let (code, text) = (escaped(&self.code), escaped(&self.message));
        let id = "7c1b9e52-0000-4000-8000-f0f0f0f0f0f0";
        let inner = format!("<Code>{code}</Code><Message>{text}</Message>");
        let sender = if self.status < 500 { "Sender" } else { "Receiver" };
        let (kind, body) = match asked.protocol {
            Protocol::Json(version) => {
                let mut body = json!({ "__type": format!("com.amazonaws.{}#{}", asked.service, self.code) });
                // The older services say `message`, and dynamodb too; kms and its kin accept either.
                body["message"] = self.message.clone().into();
                (format!("application/x-amz-json-{version}"), body.to_string().into_bytes())
            }
            Protocol::RestJson => ("application/json".to_owned(), json!({ "message": self.message }).to_string().into_bytes()),
            Protocol::Cbor => ("application/cbor".to_owned(), cbor(&[("__type", &self.code), ("message", &self.message)])),
            Protocol::Query | Protocol::Ec2 | Protocol::RestXml => {
                let body = match asked.protocol {
                    Protocol::Ec2 => {
                        format!("<Response><Errors><Error>{inner}</Error></Errors><RequestID>{id}</RequestID></Response>")
                    }
                    _ if asked.service == "s3" => format!("<Error>{inner}<RequestId>{id}</RequestId></Error>"),
                    _ => format!(
                        "<ErrorResponse><Error><Type>{sender}</Type>{inner}</Error><RequestId>{id}</RequestId></ErrorResponse>"
                    ),
                };
                ("text/xml".to_owned(), format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{body}").into_bytes())
            }
        };
        let body = if asked.message.method() == "HEAD" { Vec::new() } else { body };
        let mut out = Message::answer(self.status, &[("Content-Type", &kind), ("x-amzn-RequestId", id)], body);
        out.set("Date", &http_date(now() + self.hours * 3600));
        if matches!(asked.protocol, Protocol::RestJson) {
            out.set("x-amzn-ErrorType", &self.code);
        }
        if let Some(seconds) = self.retry_after {
            out.set("Retry-After", &seconds.to_string());
        }
        if asked.protocol == Protocol::Cbor {
            out.set("smithy-protocol", "rpc-v2-cbor");
        }
        out
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A map of texts.
fn cbor(members: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| {
        let length = u16::try_from(text.len()).expect("a short text").to_be_bytes();
        [&[0x79], &length[..], text.as_bytes()].concat()
    };
    let count = u8::try_from(members.len()).expect("a short map");
    let mut out = vec![0xa0 | count];
    members.iter().for_each(|(name, value)| out.extend([text(name), text(value)].concat()));
    out
}

/// Seconds since 1970.
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| i64::try_from(it.as_secs()).unwrap_or(i64::MAX))
}

/// Year, month and day of a day counted from 1970-01-01, by the rules of the calendar in its eras of 400 years.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, of_year - (153 * shifted + 2) / 5 + 1)
}

fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    year.div_euclid(400) * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
pub fn http_date(time: i64) -> String {
    let (day, second) = (time.div_euclid(86_400), time.rem_euclid(86_400));
    let (year, month, of_month) = civil(day);
    let week = "ThuFriSatSunMonTueWed";
    let months = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let word = |words: &'static str, at: i64| usize::try_from(at * 3).ok().and_then(|it| words.get(it..it + 3)).unwrap_or("");
    let (week, months) = (word(week, day.rem_euclid(7)), word(months, month - 1));
    format!("{week}, {of_month:02} {months} {year:04} {:02}:{:02}:{:02} GMT", second / 3600, second / 60 % 60, second % 60)
}

/// `20260101T120000Z`, as requests say when they were signed.
pub fn stamp(time: i64) -> String {
    let (year, month, day) = civil(time.div_euclid(86_400));
    let second = time.rem_euclid(86_400);
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

/// The time of a [`stamp`].
pub fn stamped(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let day = days(number(0, 4)?, number(4, 6)?, number(6, 8)?);
    Some(day * 86_400 + number(9, 11)? * 3600 + number(11, 13)? * 60 + number(13, 15)?)
}

#[cfg(test)]
mod tests {
    use super::super::asked::tests::{asked, form, json};
    use super::*;

    #[test]
    fn a_throttled_request_is_told_so_in_the_words_and_the_form_of_its_service() {
        let rest = asked("GET", "/clusters", "eks", &[], "");
        for (asked, status, part) in [
            (json("sqs", "AmazonSQS.ListQueues", "{}"), 400, r#""__type":"com.amazonaws.sqs#ThrottlingException""#),
            (form("iam", "Action=ListRoles"), 400, "<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code>"),
            (form("ec2", "Action=DescribeVpcs"), 503, "<Response><Errors><Error><Code>RequestLimitExceeded</Code>"),
            (asked("GET", "/", "s3", &[], ""), 503, "<Error><Code>SlowDown</Code>"),
            (asked("GET", "/2013-04-01/hostedzone", "route53", &[], ""), 400, "<Code>Throttling</Code>"),
            (rest.clone(), 429, r#"{"message":"Rate exceeded"}"#),
        ] {
            let answer = Refusal::throttled(&asked).answer(&asked);
            assert_eq!(answer.status(), status, "{asked}");
            assert!(answer.text().contains(part), "{asked}: {}", answer.text());
            assert_eq!(answer.header("retry-after"), None);
        }
        let told = Refusal::throttled(&rest).retry_after(2).answer(&rest);
        assert_eq!((told.header("x-amzn-errortype"), told.header("retry-after")), (Some("ThrottlingException"), Some("2")));
    }

    #[test]
    fn a_skewed_clock_is_hours_away_in_the_date_of_the_answer() {
        let s3 = asked("GET", "/", "s3", &[], "");
        let answer = Refusal::skewed(&s3, 5).answer(&s3);
        assert!(answer.text().contains("RequestTimeTooSkewed"));
        let hour = |text: &str| text.get(17..19).and_then(|it| it.parse::<i64>().ok()).unwrap();
        let ahead = hour(answer.header("date").unwrap()) - hour(&http_date(now()));
        assert!([5, 6, -19, -18].contains(&ahead), "{ahead}");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http_date(1_709_164_800), "Thu, 29 Feb 2024 00:00:00 GMT");
        for time in [0, 784_111_777, 951_782_400, 1_709_164_800, 4_102_444_799] {
            assert_eq!(stamped(&stamp(time)), Some(time));
        }
        assert_eq!(stamped("yesterday"), None);
    }
}
