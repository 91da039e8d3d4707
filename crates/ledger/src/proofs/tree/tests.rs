use proptest::prelude::*;

use super::*;

/// The leaves of the reference vectors published with the Certificate Transparency code.
const LEAVES: [&str; 8] = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
];

/// Their roots, for one leaf, two leaves and so on.
const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn hashes() -> Vec<Hash> {
    LEAVES.iter().map(|leaf| leaf_hash(&hex::decode(leaf).unwrap())).collect()
}

fn root(leaves: &[Hash]) -> Hash {
    let mut tree = Frontier::new();
    leaves.iter().for_each(|leaf| tree.push(*leaf));
    tree.root()
}

fn build(builder: Option<ProofBuilder>, leaves: &[Hash]) -> Vec<Hash> {
    let mut builder = builder.unwrap();
    for (index, leaf) in (0..).zip(leaves) {
        builder.leaf(index, *leaf);
    }
    builder.finish().unwrap()
}

fn texts(proof: &[Hash]) -> Vec<String> {
    proof.iter().map(hex::encode).collect()
}

#[test]
fn roots_are_those_of_the_reference_vectors() {
    assert_eq!(
        hex::encode(Frontier::new().root()),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
    let leaves = hashes();
    for (count, expected) in (1..).zip(ROOTS) {
        assert_eq!(hex::encode(root(&leaves[..count])), expected);
    }
}

#[test]
fn proofs_are_those_of_the_reference_vectors() {
    let leaves = hashes();
    assert_eq!(
        texts(&build(ProofBuilder::inclusion(0, 8), &leaves)),
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ]
    );
    assert_eq!(
        texts(&build(ProofBuilder::inclusion(5, 8), &leaves)),
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ]
    );
    assert_eq!(
        texts(&build(ProofBuilder::consistency(6, 8), &leaves)),
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ]
    );
    assert_eq!(
        texts(&build(ProofBuilder::consistency(2, 5), &leaves[..5])),
        [
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ]
    );
}

fn numbered(count: u64) -> Vec<Hash> {
    (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect()
}

proptest! {
    #[test]
    fn every_honest_inclusion_proof_holds_and_no_bent_one((size, index) in (1_u64..70).prop_flat_map(|n| (Just(n), 0..n)), bit in 0_usize..256) {
        let leaves = numbered(size);
        let root = root(&leaves);
        let leaf = leaves[usize::try_from(index).unwrap()];
        let proof = build(ProofBuilder::inclusion(index, size), &leaves);
        prop_assert!(verify_inclusion(&leaf, index, size, &proof, &root));
        for at in 0..proof.len() {
            let mut bent = proof.clone();
            bent[at][bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!verify_inclusion(&leaf, index, size, &bent, &root));
            let mut short = proof.clone();
            short.remove(at);
            prop_assert!(!verify_inclusion(&leaf, index, size, &short, &root));
        }
        let mut long = proof.clone();
        long.push([7; 32]);
        prop_assert!(!verify_inclusion(&leaf, index, size, &long, &root));
        for other in (0..size).filter(|other| *other != index) {
            prop_assert!(!verify_inclusion(&leaf, other, size, &proof, &root));
        }
    }

    #[test]
    fn every_honest_consistency_proof_holds_and_no_bent_one((new, old) in (1_u64..70).prop_flat_map(|n| (Just(n), 1..=n)), bit in 0_usize..256) {
        let leaves = numbered(new);
        let old_root = root(&leaves[..usize::try_from(old).unwrap()]);
        let new_root = root(&leaves);
        let proof = build(ProofBuilder::consistency(old, new), &leaves);
        prop_assert!(verify_consistency((old, &old_root), (new, &new_root), &proof));
        let mut other = old_root;
        other[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(!verify_consistency((old, &other), (new, &new_root), &proof));
        for at in 0..proof.len() {
            let mut bent = proof.clone();
            bent[at][bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!verify_consistency((old, &old_root), (new, &new_root), &bent));
        }
    }

    #[test]
    fn a_tree_goes_on_from_its_peaks(first in 0_u64..40, more in 0_u64..40) {
        let leaves = numbered(first + more);
        let (head, tail) = leaves.split_at(usize::try_from(first).unwrap());
        let mut tree = Frontier::new();
        head.iter().for_each(|leaf| tree.push(*leaf));
        let mut again = Frontier::from_parts(tree.size(), tree.peaks().to_vec()).unwrap();
        tail.iter().for_each(|leaf| again.push(*leaf));
        prop_assert_eq!(again.root(), root(&leaves));
        prop_assert_eq!(Frontier::from_parts(first + 1, tree.peaks().to_vec()).is_some(), (first + 1).count_ones() == first.count_ones());
    }
}
