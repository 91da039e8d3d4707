//! What a witness may cosign, as a function of what it holds and what it is sent: no clock, no file,
//! no lock. The order of the checks is the order of c2sp.org/tlog-witness.

use super::request::Request;
use crate::note::VerifierKey;
use crate::tree::{Hash, verify_consistency};

/// The latest head of a log that the witness cosigned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// The number of leaves.
    pub size: u64,
    /// The root of their tree.
    pub root: Hash,
    /// When it was cosigned, in seconds since the epoch.
    pub time: u64,
    /// The signed note, with the cosignature.
    pub note: String,
}

/// Why a request is not cosigned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// 404: no log of this origin is witnessed here.
    UnknownOrigin,
    /// 403: no trusted key signed it, or a line claims to be a trusted key's and is not.
    Untrusted,
    /// 400: the old size is larger than the checkpoint's.
    OldLarger,
    /// 409: this is the size that is held.
    Stale(u64),
    /// 422: it does not grow out of what is held.
    Inconsistent,
}

/// What cosigning does to what is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Nothing: it is the same head again.
    Same,
    /// It becomes the new head.
    Forward,
}

/// Whether a log's key that is trusted here signed the request's checkpoint.
///
/// # Errors
/// [`Refusal::UnknownOrigin`], [`Refusal::Untrusted`].
pub fn trusted(request: &Request, logs: &[VerifierKey]) -> Result<(), Refusal> {
    let origin = &request.checkpoint.origin;
    let mut own = logs.iter().filter(|key| key.name() == origin).peekable();
    if own.peek().is_none() {
        return Err(Refusal::UnknownOrigin);
    }
    let mut signed = false;
    for key in own.filter(|key| request.note.names(key)) {
        if !request.note.signed_by(key) {
            return Err(Refusal::Untrusted);
        }
        signed = true;
    }
    if signed { Ok(()) } else { Err(Refusal::Untrusted) }
}

/// Whether a trusted request grows out of what is held.
///
/// # Errors
/// [`Refusal`].
pub fn judge(request: &Request, held: Option<&Head>) -> Result<Step, Refusal> {
    let empty = keys::sha256(&[]);
    let (size, root) = held.map_or((0, empty), |head| (head.size, head.root));
    let checkpoint = &request.checkpoint;
    if request.old > checkpoint.size {
        return Err(Refusal::OldLarger);
    }
    if request.old != size {
        return Err(Refusal::Stale(size));
    }
    // An empty log has one root only, and from it every log begins.
    let (old, new) = ((size, &root), (checkpoint.size, &checkpoint.root));
    if !verify_consistency(old, new, &request.proof) {
        return Err(Refusal::Inconsistent);
    }
    Ok(if checkpoint.size == size && held.is_some() { Step::Same } else { Step::Forward })
}

#[cfg(test)]
mod tests {
    use keys::ed25519::SigningKey;
    use proptest::prelude::*;

    use super::*;
    use crate::note::{self, Checkpoint, Note};
    use crate::tree::{Frontier, ProofBuilder, leaf_hash};

    const ORIGIN: &str = "log.test/a";

    fn signer(seed: u8) -> (VerifierKey, SigningKey) {
        let key = SigningKey::from_seed(&[seed; 32]).unwrap();
        (VerifierKey::new(ORIGIN, key.public()).unwrap(), key)
    }

    fn root(leaves: u64, fork: u64) -> Hash {
        let mut tree = Frontier::new();
        for leaf in 0..leaves {
            tree.push(leaf_hash(&[leaf.to_be_bytes(), (leaf / fork).to_be_bytes()].concat()));
        }
        tree.root()
    }

    fn proof(old: u64, new: u64, fork: u64) -> Vec<Hash> {
        let Some(mut proof) = ProofBuilder::consistency(old, new) else { return Vec::new() };
        for leaf in 0..new {
            let bytes = [leaf.to_be_bytes(), (leaf / fork).to_be_bytes()].concat();
            proof.leaf(leaf, leaf_hash(&bytes));
        }
        proof.finish().unwrap()
    }

    fn request(seed: u8, old: u64, proof: &[Hash], size: u64, root: Hash) -> Request {
        let (key, signer) = signer(seed);
        let checkpoint = Checkpoint { origin: ORIGIN.into(), size, root };
        let note = note::sign(&checkpoint.text(), &[(&key, &signer)]).unwrap();
        Request::parse(Request::body(old, proof, &note).as_bytes()).unwrap()
    }

    const NONE: u64 = u64::MAX;

    fn head(size: u64) -> Head {
        Head { size, root: root(size, NONE), time: 1, note: String::new() }
    }

    #[test]
    fn every_row_of_the_protocol_has_its_answer() {
        let whole = |size| root(size, NONE);
        // The log that differs from leaf 4 on.
        let forked = |size| root(size, 4);
        let held = head(8);
        for (name, request, held, expected) in [
            ("first", request(1, 0, &[], 5, whole(5)), None, Ok(Step::Forward)),
            ("first and empty", request(1, 0, &[], 0, whole(0)), None, Ok(Step::Forward)),
            ("empty, wrong root", request(1, 0, &[], 0, [7; 32]), None, Err(Refusal::Inconsistent)),
            (
                "first with a proof",
                request(1, 0, &[[1; 32]], 5, whole(5)),
                None,
                Err(Refusal::Inconsistent),
            ),
            (
                "grown",
                request(1, 8, &proof(8, 13, NONE), 13, whole(13)),
                Some(&held),
                Ok(Step::Forward),
            ),
            ("the same again", request(1, 8, &[], 8, whole(8)), Some(&held), Ok(Step::Same)),
            (
                "the same size, another root",
                request(1, 8, &[], 8, forked(8)),
                Some(&held),
                Err(Refusal::Inconsistent),
            ),
            (
                "the same with a proof",
                request(1, 8, &[[1; 32]], 8, whole(8)),
                Some(&held),
                Err(Refusal::Inconsistent),
            ),
            (
                "old larger than new",
                request(1, 9, &[], 8, whole(8)),
                Some(&held),
                Err(Refusal::OldLarger),
            ),
            (
                "old behind",
                request(1, 5, &proof(5, 13, NONE), 13, whole(13)),
                Some(&held),
                Err(Refusal::Stale(8)),
            ),
            (
                "old ahead",
                request(1, 9, &proof(9, 13, NONE), 13, whole(13)),
                Some(&held),
                Err(Refusal::Stale(8)),
            ),
            (
                "old of nothing",
                request(1, 5, &proof(5, 13, NONE), 13, whole(13)),
                None,
                Err(Refusal::Stale(0)),
            ),
            ("rolled back", request(1, 5, &[], 5, whole(5)), Some(&held), Err(Refusal::Stale(8))),
            (
                "forked",
                request(1, 8, &proof(8, 13, 4), 13, forked(13)),
                Some(&held),
                Err(Refusal::Inconsistent),
            ),
            (
                "no proof",
                request(1, 8, &[], 13, whole(13)),
                Some(&held),
                Err(Refusal::Inconsistent),
            ),
            (
                "proof too long",
                request(1, 8, &[proof(8, 13, NONE), vec![[0; 32]]].concat(), 13, whole(13)),
                Some(&held),
                Err(Refusal::Inconsistent),
            ),
        ] {
            assert_eq!(judge(&request, held), expected, "{name}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_asked_in_whatever_order_one_history_is_cosigned_and_never_a_smaller(
            asked in prop::collection::vec((any::<bool>(), 0_u64..14, 0_u64..14), 1..40)
        ) {
            // Two histories that are one up to leaf 4.
            let mut held: Option<(Head, Option<bool>)> = None;
            for (forks, old, size) in asked {
                let fork = if forks { 4 } else { NONE };
                let path = if old <= size { proof(old, size, fork) } else { Vec::new() };
                let request = request(1, old, &path, size, root(size, fork));
                let answer = judge(&request, held.as_ref().map(|(head, _)| head));
                let Ok(step) = answer else { continue };
                let before = held.as_ref().map_or(0, |(head, _)| head.size);
                prop_assert!(size >= before && old == before);
                prop_assert_eq!(step == Step::Same, held.is_some() && size == before);
                let side = held.and_then(|(_, side)| side);
                let own = (size > 4).then_some(forks);
                prop_assert!(side.is_none() || own == side, "both sides of a fork");
                held = Some((Head { root: root(size, fork), ..head(size) }, own));
            }
        }
    }

    #[test]
    fn only_a_trusted_key_of_this_origin_counts_and_a_false_line_of_it_spoils_the_note() {
        let (key, _) = signer(1);
        let (next, _) = signer(2);
        let other = VerifierKey::new("log.test/b", key.key()).unwrap();
        let good = request(1, 0, &[], 5, [5; 32]);
        assert_eq!(trusted(&good, &[]), Err(Refusal::UnknownOrigin));
        assert_eq!(trusted(&good, &[other]), Err(Refusal::UnknownOrigin));
        assert_eq!(trusted(&good, std::slice::from_ref(&next)), Err(Refusal::Untrusted));
        // A log that goes over to a new key is trusted under both.
        assert_eq!(trusted(&good, &[next, key.clone()]), Ok(()));
        let mut forged = good.clone();
        forged.note = {
            let text = format!("{ORIGIN}\n6\n{}\n", "BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU=");
            let (_, signer) = signer(2);
            Note::parse(&note::sign(&text, &[(&key, &signer)]).unwrap()).unwrap()
        };
        assert_eq!(trusted(&forged, &[key]), Err(Refusal::Untrusted));
    }
}
