use noonmark_nts::{
    Aead, Arrival, ErrorCode, KeRequest, KeRequestReader, KeResponse, KeResponseReader, Record,
    RecordReader, Violation,
};

use crate::Fault;

/// Target `records`: `octets` are what a peer sends inside TLS. The last one also says in what pieces it arrives.
///
/// # Panics
/// If records or messages depend on how the stream was cut, or if what was read does not write back the same.
pub fn records(octets: &[u8]) {
    records_through(octets, &|_, _| {});
}

/// [`records`] with `fault` applied to whatever was written, and to every piece of the stream, before it is read.
///
/// # Panics
/// As [`records`].
pub fn records_through(octets: &[u8], fault: Fault<'_>) {
    let piece = 1 + usize::from(octets.last().copied().unwrap_or(0));
    records_write_back_the_same(octets, fault);
    a_stream_cut_elsewhere_gives_the_same_records(octets, piece, fault);
    a_request_reads_the_same_and_writes_back(octets, piece, fault);
    a_response_reads_the_same_and_writes_back(octets, piece, fault);
}

fn records_write_back_the_same(octets: &[u8], fault: Fault<'_>) {
    let mut again = Vec::new();
    let mut cut = None;
    for record in noonmark_nts::records(octets) {
        assert_eq!(cut, None, "records went on after the end");
        match record {
            Ok(record) => record.write(&mut again).expect("it fitted before"),
            Err(short) => cut = Some(short.at),
        }
    }
    let whole = cut.unwrap_or(octets.len());
    fault("records written back", &mut again);
    assert_eq!(Some(&again[..]), octets.get(..whole));
}

fn a_stream_cut_elsewhere_gives_the_same_records(octets: &[u8], piece: usize, fault: Fault<'_>) {
    let mut whole = noonmark_nts::records(octets).map_while(Result::ok);
    let mut reader = RecordReader::new(usize::MAX, BODY_LIMIT);
    for part in octets.chunks(piece) {
        let mut part = part.to_vec();
        fault("piece of a stream", &mut part);
        let mut part = &part[..];
        while let Some(arrival) = reader.next(&mut part).expect("there is no limit") {
            let expected = whole.next().expect("no more records than in one piece");
            let kept = expected.kind.is_known() && expected.body.len() <= BODY_LIMIT;
            match arrival {
                Arrival::Record(record) => {
                    assert!(kept);
                    assert_eq!(record, expected);
                }
                Arrival::Skipped { critical, kind, len } => {
                    let Record { critical: was_critical, kind: was, body } = expected;
                    assert!(!kept);
                    assert_eq!((critical, kind, usize::from(len)), (was_critical, was, body.len()));
                }
            }
        }
    }
    assert_eq!(whole.next(), None);
}

fn a_request_reads_the_same_and_writes_back(octets: &[u8], piece: usize, fault: Fault<'_>) {
    let whole = read_request(octets, octets.len().max(1));
    assert_eq!(whole, read_request(octets, piece));
    let request = match whole {
        Ok(request) => request,
        Err(violation) => return a_violation_is_told(&violation),
    };
    let mut written = Vec::new();
    request.write(&mut written).expect("its lists came in records");
    fault("request written back", &mut written);
    assert_eq!(read_request(&written, piece), Ok(request));
}

fn read_request(octets: &[u8], piece: usize) -> Result<KeRequest, Violation> {
    let mut reader = KeRequestReader::new();
    for part in octets.chunks(piece) {
        reader.read(part);
    }
    assert_eq!(reader.is_started(), !octets.is_empty());
    reader.finish()
}

fn a_response_reads_the_same_and_writes_back(octets: &[u8], piece: usize, fault: Fault<'_>) {
    let whole = read_response(octets, octets.len().max(1));
    assert_eq!(whole, read_response(octets, piece));
    let response = match whole {
        Ok(response) => response,
        Err(violation) => return a_violation_is_told(&violation),
    };
    let mut written = response.to_octets();
    fault("response written back", &mut written);
    assert_eq!(read_response(&written, piece), Ok(response));
}

fn a_violation_is_told(violation: &Violation) {
    let said = violation.to_string();
    assert!(said.ends_with(&format!("({})", violation.clause())), "{said}");
    assert!(!violation.name().is_empty());
    let is_unknown = matches!(violation, Violation::UnknownCritical(_));
    let answer = violation.error_code();
    assert_eq!(answer == ErrorCode::UNRECOGNIZED_CRITICAL, is_unknown, "{said}");
}

/// As a client reads it that offered all algorithms and record 1024.
fn read_response(octets: &[u8], piece: usize) -> Result<KeResponse, Violation> {
    let offered = Aead::ALL.map(Aead::id);
    let mut reader = KeResponseReader::new(&offered, true);
    for part in octets.chunks(piece) {
        reader.read(part);
    }
    reader.finish()
}

const BODY_LIMIT: usize = 256;
