//! The manifest of the ledger's streams.

use store::{HeadKept, Store, StreamHead, StreamOpening};

use crate::Db;
use crate::words::{at, fifty};

fn opening(stream: u32, node: &str, boot: &str) -> StreamOpening {
    StreamOpening {
        stream,
        node: node.into(),
        boot: boot.into(),
        origin: "log".into(),
        verifier_key: format!("key of {node}"),
    }
}

fn head(size: u64, root: u8) -> StreamHead {
    StreamHead { size, root: [root; 32], note: format!("{size}") }
}

async fn opened(db: &Db) -> Store {
    let store = db.open().await;
    assert_eq!(store.claim_ledger_stream("a", None, at(0)).await.unwrap(), Some(1));
    assert!(store.open_ledger_stream(&opening(1, "a", "boot"), at(1)).await.unwrap());
    store
}

pub(crate) async fn a_stream_has_one_node_for_ever_and_fifty_nodes_get_fifty(db: Db) {
    let store = db.open().await;
    let given = fifty(&db, |store, i| async move {
        store.claim_ledger_stream(&format!("node {i}"), None, at(0)).await.unwrap().unwrap()
    })
    .await;
    let mut sorted = given.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (1..=50).collect::<Vec<_>>());
    // Asking again gives the same; another node's is refused, one that nobody has is given.
    assert_eq!(store.claim_ledger_stream("node 7", None, at(1)).await.unwrap(), Some(given[7]));
    let taken = Some(given[8]);
    assert_eq!(store.claim_ledger_stream("node 8", taken, at(1)).await.unwrap(), taken);
    assert_eq!(store.claim_ledger_stream("node 7", taken, at(1)).await.unwrap(), None);
    assert_eq!(store.claim_ledger_stream("node 7", Some(90), at(1)).await.unwrap(), Some(90));
    let theirs = opening(given[8], "node 7", "boot");
    assert!(!store.open_ledger_stream(&theirs, at(1)).await.unwrap());
}

pub(crate) async fn a_checkpoint_in_the_manifest_never_goes_back(db: Db) {
    let store = opened(&db).await;
    let keep = async |head| store.keep_ledger_checkpoint(1, "boot", &head, at(2)).await.unwrap();
    assert_eq!(keep(head(5, 1)).await, HeadKept::Kept);
    assert_eq!(keep(head(5, 1)).await, HeadKept::Kept);
    assert_eq!(keep(head(9, 2)).await, HeadKept::Kept);
    assert_eq!(keep(head(8, 2)).await, HeadKept::Smaller { kept: 9 });
    assert_eq!(keep(head(9, 3)).await, HeadKept::Fork);
    let streams = store.ledger_streams().await.unwrap();
    assert_eq!(streams.len(), 1);
    assert_eq!((streams[0].size, streams[0].root), (9, [2; 32]));
    assert_eq!((streams[0].checkpoint.as_str(), streams[0].closed), ("9", None));
    let none = store.keep_ledger_checkpoint(2, "boot", &head(1, 1), at(2)).await.unwrap();
    assert_eq!(none, HeadKept::NotOurs);
}

pub(crate) async fn of_fifty_checkpoints_at_once_the_largest_stays(db: Db) {
    let store = opened(&db).await;
    fifty(&db, |store, i| async move {
        let size = u64::try_from(i).unwrap();
        store.keep_ledger_checkpoint(1, "boot", &head(size, 1), at(2)).await.unwrap()
    })
    .await;
    assert_eq!(store.ledger_streams().await.unwrap()[0].size, 49);
}

pub(crate) async fn the_process_that_opened_a_stream_last_has_it(db: Db) {
    let store = opened(&db).await;
    // A copy of the node's directory is started elsewhere.
    assert!(store.open_ledger_stream(&opening(1, "a", "copy"), at(3)).await.unwrap());
    let kept = store.keep_ledger_checkpoint(1, "boot", &head(5, 1), at(4)).await.unwrap();
    assert_eq!(kept, HeadKept::NotOurs);
    store.close_ledger_stream(1, "boot", at(5)).await.unwrap();
    assert_eq!(store.ledger_streams().await.unwrap()[0].closed, None);
    store.close_ledger_stream(1, "copy", at(6)).await.unwrap();
    assert_eq!(store.ledger_streams().await.unwrap()[0].closed, Some(at(6)));
    // The same node with another key is another log.
    let other = StreamOpening { verifier_key: "another".into(), ..opening(1, "a", "later") };
    assert!(!store.open_ledger_stream(&other, at(7)).await.unwrap());
}
