//! A reply that is no answer says so as NATS services do.

use callboard::message::{Headers, Status, headers};

#[test]
fn every_code_but_0_reads_back() {
    assert_eq!(Status::from_code(0), None);
    for code in 1..=u16::MAX {
        let status = Status::from_code(code).expect("not 0");
        assert_eq!(status.code(), code);
        assert_eq!(Status::read(&status.headers("why")), Some((status, "why")));
    }
}

#[test]
fn the_codes_are_those_of_the_contract() {
    for (status, code) in [
        (Status::Malformed, 400),
        (Status::NotFound, 404),
        (Status::DeadlinePassed, 408),
        (Status::Rejected, 422),
        (Status::Limited, 429),
        (Status::Failed, 500),
        (Status::Unavailable, 503),
    ] {
        assert_eq!(
            (status.code(), Status::from_code(code)),
            (code, Some(status))
        );
    }
}

#[test]
fn a_reply_without_error_headers_is_an_answer() {
    assert_eq!(Status::read(&Headers::new()), None);
}

#[test]
fn an_error_that_cannot_be_understood_is_a_failure() {
    for code in ["", "0", "teapot", "-1", "70000"] {
        let mut headers = Headers::new();
        headers
            .insert(headers::SERVICE_ERROR_CODE, code)
            .expect("a sound header");
        assert_eq!(
            Status::read(&headers),
            Some((Status::Failed, "")),
            "{code:?}"
        );
    }
    let mut headers = Headers::new();
    headers
        .insert(headers::SERVICE_ERROR, "why")
        .expect("a sound header");
    assert_eq!(Status::read(&headers), Some((Status::Failed, "why")));
}

#[test]
fn any_reason_becomes_one_line_of_at_most_a_kibibyte() {
    for (reason, line) in [
        (
            "a\r\nNats-Service-Error-Code: 200",
            "a  Nats-Service-Error-Code: 200",
        ),
        ("tab\tnul\0", "tab nul "),
        ("", ""),
    ] {
        let headers = Status::Failed.headers(reason);
        assert_eq!(Status::read(&headers), Some((Status::Failed, line)));
    }
    for long in [
        "a".repeat(5_000),
        "é".repeat(5_000),
        "a".to_owned() + &"😀".repeat(5_000),
    ] {
        let headers = Status::Failed.headers(&long);
        let (_, line) = Status::read(&headers).expect("an error");
        assert!((1_021..=1_024).contains(&line.len()) && long.starts_with(line));
    }
}
