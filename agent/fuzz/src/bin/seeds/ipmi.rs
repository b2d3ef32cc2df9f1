//! BMCs: records, then answers in place of the right ones, each with its length before it.

use crate::Seeds;

/// A full record of a temperature sensor with all thresholds (IPMI 2.0, table 43-1).
fn full(number: u8, kind: u8, unit: u8) -> Vec<u8> {
    let mut record = vec![0, 0, 0x51, 1, 0, 0x20, 0, number, 3, 1, 0x7f, 0x68, kind, 1, 0, 0, 0, 0, 0x3f, 0, 0, unit, 0, 0, 1];
    record.resize(36, 0);
    record.extend([110, 105, 95, 1, 2, 3, 0, 0, 0, 0, 0]);
    named(record)
}

/// A compact record of three power supplies (table 43-2).
fn compact() -> Vec<u8> {
    let mut record = vec![0, 0, 0x51, 2, 0, 0x20, 0, 0x60, 10, 1, 0x7f, 0x40, 8, 0x6f, 0, 0, 0, 0, 0, 0, 0xc0, 0, 0, 3, 0x81];
    record.resize(31, 0);
    named(record)
}

fn named(mut record: Vec<u8>) -> Vec<u8> {
    record.extend(b"\xc4Name");
    record[4] = (record.len() - 5) as u8;
    record
}

fn input(records: &[Vec<u8>], answers: &[&[u8]]) -> Vec<u8> {
    let parts = records.iter().map(Vec::as_slice).chain(answers.iter().copied());
    let with_length = parts.flat_map(|part| [&[part.len() as u8], part].concat());
    std::iter::once(records.len() as u8).chain(with_length).collect()
}

pub(crate) fn seeds() -> Seeds {
    let all = [full(1, 1, 1), full(2, 4, 18), full(3, 2, 4), compact()];
    // The right answers to who it is, power, chassis and log; then others.
    let right: [&[u8]; 5] = [&[]; 5];
    let wrong: [&[u8]; 8] = [
        &[0xc1],
        &[0],
        &[0, 0x51, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2],
        &[0xc5],
        &[0, 0, 0, 0, 0, 0x51, 1, 0x38],
        &[0, 0xff, 0xff],
        &[0xca],
        &[0, 9, 0xe0],
    ];
    let mut short = full(1, 1, 1);
    short.truncate(30);
    let same = [full(1, 1, 1), full(1, 1, 1)];
    [
        ("whole", input(&all, &[])),
        ("wrong", input(&all, &[&right[..], &wrong[..]].concat())),
        ("wrong-at-once", input(&all, &wrong)),
        ("short", input(&[short], &[])),
        ("same", input(&same, &[])),
        ("silent", [input(&all, &right), vec![255]].concat()),
        ("none", input(&[], &[])),
    ]
    .map(|(name, bytes)| (name.to_owned(), bytes))
    .into()
}
