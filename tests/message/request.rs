//! Commands carry as few headers as do the job.

use crate::strategies;
use callboard::message::{EnvelopeError, HeaderError, Headers, Id, Request, Trace, headers};
use proptest::prelude::*;

fn read(name: &'static str, value: &str) -> Result<Request, EnvelopeError> {
    let mut headers = Headers::new();
    headers.insert(name, value).expect("a sound header");
    Request::read(&headers)
}

proptest! {
    #[test]
    fn a_request_reads_back_from_its_headers(sent in strategies::request()) {
        let headers = sent.headers().expect("sound headers");
        prop_assert_eq!(Request::read(&headers), Ok(sent));
    }

    #[test]
    fn a_header_is_left_out_exactly_if_it_can_be_derived(sent in strategies::request()) {
        let written = sent.headers().expect("sound headers");
        for (name, wanted) in [
            (headers::CB_ID, true),
            (headers::CB_DEADLINE, sent.deadline.is_some()),
            (headers::CB_CALLER, !sent.caller.is_empty()),
            (headers::CB_CORRELATION, sent.correlation != sent.id),
            (headers::CB_CAUSATION, sent.causation.is_some()),
            (headers::CB_ATTEMPT, sent.attempt > 1),
            (headers::CB_UNNAMED, !sent.named),
            (headers::TRACEPARENT, sent.trace.is_some()),
        ] {
            prop_assert_eq!(written.get(name).is_some(), wanted, "{}", name);
        }
    }
}

#[test]
fn a_caller_may_leave_all_headers_out() {
    let heard = Request::read(&Headers::new()).expect("a request");
    assert_eq!(heard, Request::new(heard.id.clone()));
    assert_ne!(
        Request::read(&Headers::new()).expect("a request").id,
        heard.id
    );
}

#[test]
fn a_deadline_or_attempt_that_is_no_number_is_refused() {
    for name in [headers::CB_DEADLINE, headers::CB_ATTEMPT] {
        for found in ["", "soon", "-1", "1.5", "1e9", "99999999999999999999999"] {
            let refused = Err(EnvelopeError::Number { name, found: found.to_owned() });
            assert_eq!(read(name, found), refused);
        }
    }
    assert!(read(headers::CB_DEADLINE, &u64::MAX.to_string()).is_ok());
}

#[test]
fn the_first_attempt_is_number_1() {
    let heard = read(headers::CB_ATTEMPT, "0").expect("a request");
    assert_eq!(heard.attempt, 1);
}

#[test]
fn a_line_break_in_any_value_is_refused() {
    let (plain, bad) = (Request::new(Id::from("1")), Id::from("a\r\nb"));
    let trace = Some(Trace { parent: "a\nb".to_owned(), state: None });
    for (name, request) in [
        (headers::CB_ID, Request::new(bad.clone())),
        (
            headers::CB_CALLER,
            Request { caller: "a\nb".into(), ..plain.clone() },
        ),
        (
            headers::CB_CORRELATION,
            Request { correlation: bad.clone(), ..plain.clone() },
        ),
        (
            headers::CB_CAUSATION,
            Request { causation: Some(bad), ..plain.clone() },
        ),
        (headers::TRACEPARENT, Request { trace, ..plain }),
    ] {
        let refused = Err(HeaderError::LineBreak { name: name.to_owned() });
        assert_eq!(request.headers(), refused);
    }
}

#[test]
fn a_header_name_is_printable_without_a_colon() {
    let mut headers = Headers::new();
    for name in ["", "a b", "a:b", "a\r\nb", "é"] {
        let refused = Err(HeaderError::Name { name: name.to_owned() });
        assert_eq!(headers.insert(name, "value"), refused);
    }
    assert!(headers.is_empty());
}
