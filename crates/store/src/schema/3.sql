-- The manifest of the ledger's streams: one node writes each, and all see each.
CREATE TABLE ledger_streams (
    stream {int} NOT NULL PRIMARY KEY,
    node TEXT NOT NULL,
    boot TEXT NOT NULL,
    origin TEXT NOT NULL,
    verifier_key TEXT NOT NULL,
    size {int} NOT NULL,
    root {bytes} NOT NULL,
    checkpoint TEXT NOT NULL,
    opened {int} NOT NULL,
    signed {int} NOT NULL,
    closed {int}
){strict};
