//! Times of many tools.

use super::*;

fn utc(text: &str) -> String {
    time(text).map_or_else(|e| e, |t| t.to_rfc3339())
}

#[test]
fn times_are_read_as_tools_write_them() {
    let (utc_noon, here) = ("2025-11-22T14:05:00+00:00", "2025-11-22T06:05:00+00:00");
    for text in [
        "2025-11-22T14:05:00Z",
        "2025-11-22 14:05:00",
        "2025-11-22 14:05",
        "2025/11/22 14:05",
        "2025/11/22 14:05:00",
        "2025-11-22 14:05:00 UTC",
        "20251122140500",
        "20251122T140500Z",
        "20251122T1405",
        "20251122 140500",
        "22.11.2025 14:05",
        "22.11.2025 14:05:00",
        "11/22/2025 2:05 PM",
        "11/22/2025 14:05",
        "22/11/2025 14:05",
        "11/22/2025, 2:05:00\u{202f}PM",
        "22-11-2025 14:05",
        "22-Nov-2025 14:05",
        "Nov 22, 2025 2:05 PM",
        "22 November 2025 14:05",
        "22. November 2025 14:05",
        "Sat Nov 22 14:05:00 2025",
        "22/Nov/2025:14:05:00",
        "2025年11月22日 14:05",
        "2025年11月22日14时05分",
        "2025年11月22日 14时05分00秒",
        "2025年11月22日 下午2:05",
        "2025/11/22 下午 2:05:00",
        "２０２５年１１月２２日　１４：０５",
        "２０２５－１１－２２　１４：０５",
        "2025年11月22日 星期六 14:05",
        "1763820300",
        "1763820300000",
        "1763820300.000",
        "1763820300000000",
        "2025-11-22 14:05:00.000",
        "2025-11-22T14:05:00,000Z",
        "2025-11-22t14:05:00z",
        "2025.11.22 14:05",
        "2025-11-22T14:05",
        "22.11.2025, 14:05",
        "2025-11-22 02:05:00 pm",
        "Samstag, 22. November 2025 14:05",
        "Saturday, November 22, 2025 14:05",
        "22.11.2025 14:05 Uhr",
        "22.11.2025, 14:05 UHR",
        "2025 年 11 月 22 日 14 时 05 分",
        "2025年11月22日 14 点 05 分",
        "2025年11月22日 中午2:05",
        "2025-11-22 14:05:00 +0000 UTC",
        "2025-11-22 14:05:00.000 +0000 UTC m=+0.000027",
        "14:05 22-11-2025",
        "14:05:00 2025-11-22",
    ] {
        assert_eq!(utc(text), utc_noon, "{text}");
    }
    for text in [
        "2025-11-22T14:05:00+08:00",
        "2025-11-22T14:05:00+0800",
        "2025-11-22 14:05:00+08",
        "2025-11-22 14:05:00.000+08",
        "Sat, 22 Nov 2025 14:05:00 +0800",
        "2025-11-22 14:05 +08:00",
        "20251122T140500+0800",
        "2025-11-22 14:05:00 UTC+8",
        "2025-11-22T14:05:00+08:00[Asia/Shanghai]",
        "Sat, 22 Nov 2025 14:05:00 +0800 (CST)",
        "2025-11-22 14:05:00 GMT+0800",
        "2025-11-22 14:05:00 +0800 CST",
        "Sat Nov 22 14:05:00 2025 +0800",
    ] {
        assert_eq!(utc(text), here, "{text}");
    }
    for (text, day) in [
        ("2025-11-22", "2025-11-22"),
        ("2025/1/5", "2025-01-05"),
        ("20251122", "2025-11-22"),
        ("5.1.2025", "2025-01-05"),
        ("11/11/2025", "2025-11-11"),
    ] {
        assert_eq!(utc(text), format!("{day}T00:00:00+00:00"), "{text}");
    }
    assert_eq!(utc("2025/1/5 9:03"), "2025-01-05T09:03:00+00:00");
    assert_eq!(utc("1/22/2025 12:05 AM"), "2025-01-22T00:05:00+00:00");
    assert_eq!(utc("2025-11-22 14:05:00 -0500"), "2025-11-22T19:05:00+00:00");
    assert_eq!(utc("2025-11-22 14:05:00-05"), "2025-11-22T19:05:00+00:00");
}

#[test]
fn words_for_times_of_the_day_are_understood() {
    for (text, time) in [
        ("2025年11月22日 中午11:30", "11:30"),
        ("2025年11月22日 中午12:30", "12:30"),
        ("2025年11月22日 下午12:30", "12:30"),
        ("2025年11月22日 凌晨12:30", "00:30"),
        ("2025年11月22日 晚上8:30", "20:30"),
        ("2025年11月22日 晚上20:30", "20:30"),
        ("Samstag, 22. November 2025", "00:00"),
        ("2025年11月22日星期六", "00:00"),
    ] {
        assert_eq!(utc(text), format!("2025-11-22T{time}:00+00:00"), "{text}");
    }
}

#[test]
fn what_may_mean_two_days_or_no_calls_day_is_refused_with_the_reason() {
    for (text, said) in [
        ("11/12/2025", "--date-order"),
        ("5-6-2025 9:00", "--date-order"),
        ("26-11-22 14:05", "year 26"),
        ("22.11.26", "year 26"),
        ("11/22/26 2:05 PM", "year 26"),
        ("22-Nov-26", "year 26"),
        ("0001-01-01T00:00:00Z", "year 1"),
        ("1970-01-01", "year 1970"),
        ("1970-01-01T08:00:00+08:00", "never set"),
        ("0", "zero of Unix"),
        ("9999-12-31", "future"),
        ("2099-01-01 10:00", "future"),
        ("yesterday", "not a time"),
        ("22.11.", "not a time"),
        ("2025-02-30", "no day of the calendar"),
        ("45983.586", "serial number"),
        ("2025-11-22 25:00", "no time of day"),
        ("2025年11月22日 晚上12:30", "from 0 to 23"),
        ("2025年11月22日 晚上1:30", "from 0 to 23"),
        ("2025年11月22日 中午8:30", "from 0 to 23"),
        ("2025-11-22 14:05:00 CST", "more than one"),
        ("2025-11-22 14:05+99:00", "no offset"),
        ("1900-01-00", "no day"),
        ("1899-12-30", "1899"),
        ("", "not a time"),
        ("2025-11-22 14:05 foo", "not a time"),
        ("-", "not a time"),
    ] {
        let error = time(text).expect_err(text);
        assert!(error.contains(said), "{text}: {error}");
    }
    let tomorrow = Utc::now() + TimeDelta::hours(20);
    assert!(time(&tomorrow.to_rfc3339()).is_ok());
}

#[test]
fn local_times_take_the_zone_that_is_named() {
    let dates = |name: &str| Dates { zone: Some(zone(name).expect("known")), order: None, mixed: false };
    let read = dates("Asia/Shanghai").read("2025-11-22 14:05").expect("valid");
    assert!(read.local && read.time.to_rfc3339() == "2025-11-22T06:05:00+00:00");
    assert!(!dates("asia/shanghai").read("2025-11-22 14:05Z").expect("valid").local);
    for (text, said) in [("2025-10-26 02:30", "twice"), ("2025-03-30 02:30", "does not exist")] {
        assert!(dates("Europe/Berlin").read(text).expect_err(text).contains(said));
    }
    assert!(zone("Shanghai Standard Time").is_err());
    let mdy = Dates { order: Some(DateOrder::Mdy), ..Dates::default() };
    assert_eq!(mdy.read("5/6/2025").expect("valid").time.to_rfc3339(), "2025-05-06T00:00:00+00:00");
}

#[test]
fn the_order_that_was_said_binds() {
    let dates = |order| Dates { order: Some(order), ..Dates::default() };
    let day = |order, text: &str| dates(order).read(text).map(|read| read.time.format("%m-%d").to_string());
    assert_eq!(day(DateOrder::Dmy, "5/6/2025").as_deref(), Ok("06-05"));
    assert_eq!(day(DateOrder::Dmy, "22/11/2025 14:05").as_deref(), Ok("11-22"));
    assert_eq!(day(DateOrder::Mdy, "11-22-2025").as_deref(), Ok("11-22"));
    assert_eq!(day(DateOrder::Mdy, "22.11.2025").as_deref(), Ok("11-22"), "with dots the day is always first");
    for (order, text) in [(DateOrder::Dmy, "11/22/2025"), (DateOrder::Mdy, "22/11/2025 14:05")] {
        let refused = day(order, text).expect_err(text);
        assert!(refused.contains("--date-order"), "{refused}");
    }
}
