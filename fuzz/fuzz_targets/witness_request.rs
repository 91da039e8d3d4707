//! `ledger::fuzzing::witness_request` for any bytes; see ../README.md.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Err(broken) = ledger::fuzzing::witness_request(bytes) {
        panic!("{broken}");
    }
});
