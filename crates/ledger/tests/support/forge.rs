//! A forger's workshop: takes a real log apart into fields, changes what it is told to, and puts it
//! together again with every checksum, number, hash, root and signature that can be recomputed.
#![allow(unreachable_pub, dead_code, reason = "each test binary uses a part")]

use std::fs;
use std::ops::Range;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use keys::ed25519::SigningKey;
use ledger::note::VerifierKey;
use ledger::tree::{Frontier, leaf_hash};

use crate::support::{Bench, ORIGIN};

pub const SEGMENT_FIELDS: &[(&str, Range<usize>)] = &[
    ("magic", 0..8),
    ("version", 8..9),
    ("stream", 9..13),
    ("segment", 13..17),
    ("batch", 17..25),
    ("seq", 25..33),
    ("time", 33..41),
    ("prev", 41..73),
    ("day", 73..77),
    ("day key", 77..109),
    ("tree size", 109..117),
    ("peaks count", 117..118),
    ("first peak", 118..150),
];
pub const BATCH_FIELDS: &[(&str, Range<usize>)] = &[
    ("magic", 0..4),
    ("version", 4..5),
    ("stream", 5..9),
    ("segment", 9..13),
    ("batch", 13..21),
    ("first seq", 21..29),
    ("first leaf", 29..37),
    ("count", 37..41),
    ("leaves length", 41..45),
    ("period", 45..49),
    ("salt", 49..81),
    ("commitment", 81..113),
];
/// From the footer's beginning.
pub const FOOTER_FIELDS: &[(&str, Range<usize>)] =
    &[("magic", 0..4), ("size", 4..12), ("root", 12..44), ("prev", 44..76)];

/// Fields of a leaf.
pub fn leaf_fields(leaf: &[u8]) -> Vec<(&'static str, Range<usize>)> {
    let tokens = 25 + 16 * usize::from(leaf[24]);
    let end = leaf.len();
    vec![
        ("version", 0..1),
        ("stream", 1..5),
        ("seq", 5..13),
        ("time", 13..21),
        ("kind", 21..23),
        ("outcome", 23..24),
        ("token count", 24..25),
        ("tokens", 25..tokens),
        ("body length", tokens..tokens + 2),
        ("body", tokens + 2..end - 16),
        ("tag", end - 16..end),
    ]
}

#[derive(Clone)]
pub struct Batch {
    pub head: Vec<u8>,
    pub leaves: Vec<Vec<u8>>,
}

#[derive(Clone)]
pub struct Segment {
    /// Up to the tree.
    pub head: Vec<u8>,
    pub batches: Vec<Batch>,
}

#[derive(Clone)]
pub struct Log {
    pub segments: Vec<Segment>,
}

fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |sum, byte| (sum << 8) | usize::from(*byte))
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

pub fn split_leaves(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut leaves = Vec::new();
    while !bytes.is_empty() {
        let tokens = 25 + 16 * usize::from(bytes[24]);
        let len = tokens + 2 + number(&bytes[tokens..tokens + 2]) + 16;
        leaves.push(bytes[..len].to_vec());
        bytes = &bytes[len..];
    }
    leaves
}

impl Log {
    /// Takes apart what is in the bench's directory.
    pub fn of(bench: &Bench) -> Self {
        let segments = bench.segments().into_iter().map(|path| {
            let bytes = fs::read(path).unwrap();
            let mut at = 118 + 32 * usize::from(bytes[117]) + 4;
            let mut batches = Vec::new();
            while bytes.get(at..at + 4) == Some(b"PHWB") {
                let head = bytes[at..at + 113].to_vec();
                let leaves = number(&head[41..45]);
                batches.push(Batch {
                    leaves: split_leaves(&bytes[at + 113..at + 113 + leaves]),
                    head,
                });
                at += 113 + leaves + 80;
            }
            Segment { head: bytes[..109].to_vec(), batches }
        });
        Self { segments: segments.collect() }
    }

    /// Puts it together and into the bench's directory, with a checkpoint signed by `thief`.
    pub fn put_into(mut self, bench: &Bench, thief: &Thief) {
        for path in bench.segments() {
            fs::remove_file(path).unwrap();
        }
        let mut tree = Frontier::new();
        let (mut batch, mut seq, mut time, mut prev) = (0_u64, 0_u64, 0_u64, [0; 32]);
        for (index, segment) in self.segments.iter_mut().enumerate() {
            let name = u32::try_from(index + 1).unwrap();
            let head = &mut segment.head;
            put(head, 13, &name.to_be_bytes());
            put(head, 17, &batch.to_be_bytes());
            put(head, 25, &seq.to_be_bytes());
            put(head, 33, &time.to_be_bytes());
            put(head, 41, &prev);
            let mut out = head.clone();
            out.extend_from_slice(&tree.size().to_be_bytes());
            out.push(u8::try_from(tree.peaks().len()).unwrap());
            tree.peaks().iter().for_each(|peak| out.extend_from_slice(peak));
            let crc = crc32c::crc32c(&out);
            out.extend_from_slice(&crc.to_be_bytes());
            for piece in &mut segment.batches {
                let before = (tree.size(), tree.root());
                let first_seq = seq;
                for leaf in &mut piece.leaves {
                    put(leaf, 5, &seq.to_be_bytes());
                    seq += 1;
                    time = time.max(u64::try_from(number(&leaf[13..21])).unwrap());
                    thief.certify_again(leaf, before);
                }
                let leaves = piece.leaves.concat();
                let head = &mut piece.head;
                put(head, 9, &name.to_be_bytes());
                put(head, 13, &batch.to_be_bytes());
                put(head, 21, &first_seq.to_be_bytes());
                put(head, 29, &tree.size().to_be_bytes());
                put(head, 37, &u32::try_from(piece.leaves.len()).unwrap().to_be_bytes());
                put(head, 41, &u32::try_from(leaves.len()).unwrap().to_be_bytes());
                tree.push(leaf_hash(head));
                piece.leaves.iter().for_each(|leaf| tree.push(leaf_hash(leaf)));
                let start = out.len();
                out.extend_from_slice(head);
                out.extend_from_slice(&leaves);
                let footer = out.len();
                out.extend_from_slice(b"PHWF");
                out.extend_from_slice(&tree.size().to_be_bytes());
                out.extend_from_slice(&tree.root());
                out.extend_from_slice(&prev);
                let crc = crc32c::crc32c(&out[start..]);
                out.extend_from_slice(&crc.to_be_bytes());
                prev = keys::sha256(&out[footer..]);
                batch += 1;
            }
            let path: PathBuf = bench.dir().join(format!("segment-{name:010}.phl"));
            fs::write(path, out).unwrap();
        }
        let text = format!("{ORIGIN}\n{}\n{}\n", tree.size(), BASE64.encode(tree.root()));
        let note = thief.sign(&text, &thief.day.0);
        for dir in [bench.dir(), bench.keys_dir()] {
            fs::write(dir.join("checkpoint"), &note).unwrap();
        }
    }
}

/// Who has every key that the machine still has today.
pub struct Thief {
    pub stable: (VerifierKey, SigningKey),
    pub day: (VerifierKey, SigningKey),
    /// Whether the papers of the day keys are signed anew.
    pub recertifies: bool,
}

impl Thief {
    pub fn of(bench: &Bench) -> Self {
        let open = |file: &str, purpose: &str| {
            let wrapped = keys::key_file::read(&bench.keys_dir().join(file)).unwrap();
            let purpose = format!("ledger {purpose} {ORIGIN} 1");
            let seed = bench.custody.unwrap(&purpose, wrapped.expose()).unwrap();
            SigningKey::from_seed(seed.expose()).unwrap()
        };
        let stable = open("stable.key", "stable key");
        let names = fs::read_dir(bench.keys_dir()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let file = names.filter(|name| name.starts_with("day-")).max().unwrap();
        let date = &file[4..14];
        let days = u64::try_from(support_day(date)).unwrap();
        let day = open(&file, &format!("day key {days}"));
        let day_name = VerifierKey::new(&format!("{ORIGIN}/day/{date}"), day.public()).unwrap();
        let stable_name = VerifierKey::new(ORIGIN, stable.public()).unwrap();
        Self { stable: (stable_name, stable), day: (day_name, day), recertifies: true }
    }

    /// Signs by the stable key and, under whatever name, by the key of today.
    pub fn sign(&self, text: &str, name: &VerifierKey) -> String {
        let mut note = format!("{text}\n");
        for (key, signer) in [(&self.stable.0, &self.stable.1), (name, &self.day.1)] {
            let mut bytes = key.id().to_vec();
            bytes.extend_from_slice(&signer.sign(text.as_bytes()).unwrap());
            note.push_str(&format!("\u{2014} {} {}\n", key.name(), BASE64.encode(bytes)));
        }
        note
    }

    /// Where a leaf carries a day key's certificate, has it name the tree as it is now.
    fn certify_again(&self, leaf: &mut [u8], (size, root): (u64, [u8; 32])) {
        let find = |what: &[u8], bytes: &[u8]| bytes.windows(what.len()).position(|w| w == what);
        let Some(from) = find(format!("{ORIGIN}\n").as_bytes(), leaf) else { return };
        if !self.recertifies || size == 0 {
            return;
        }
        let old = &leaf[from..];
        // The last signature line ends where the next field or the tag begins.
        let lines: Vec<&[u8]> = old.split(|byte| *byte == b'\n').take(10).collect();
        let text = |line: &[u8]| String::from_utf8_lossy(line).into_owned();
        let signed = format!(
            "{ORIGIN}\n{size}\n{}\n{}\n{}\n{}\n{}\n",
            BASE64.encode(root),
            text(lines[3]),
            text(lines[4]),
            text(lines[5]),
            text(lines[6]),
        );
        let name = text(lines[9]).split(' ').nth(1).unwrap().to_owned();
        let name = VerifierKey::new(&name, self.day.1.public()).unwrap();
        let note = self.sign(&signed, &name);
        let len = lines.iter().map(|line| line.len() + 1).sum::<usize>();
        assert_eq!(len, note.len(), "sizes of as many digits");
        put(leaf, from, note.as_bytes());
    }
}

/// Days since the epoch of a date in November 2026.
fn support_day(date: &str) -> i64 {
    let day: i64 = date[8..].parse().unwrap();
    assert!(date.starts_with("2026-11-"));
    crate::support::START / crate::support::DAY + day - 24
}
