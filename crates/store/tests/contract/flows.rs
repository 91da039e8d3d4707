//! Authorization requests that wait.

use store::NewFlow;

use crate::Db;
use crate::words::{at, fifty, hash};

fn new_flow() -> NewFlow {
    NewFlow {
        hash: hash("flow"),
        browser: hash("browser"),
        request: b"{\"client\":\"app\"}".to_vec(),
        expires: at(900),
    }
}

pub(crate) async fn a_flow_belongs_to_its_browser_and_is_consumed_once(db: Db) {
    let store = db.open().await;
    let new = new_flow();
    let (flow, browser, stranger) = (hash("flow"), hash("browser"), hash("stranger"));
    store.insert_flow(&new).await.unwrap();
    assert!(store.insert_flow(&new).await.is_err(), "a name is used once");
    assert_eq!(store.flow(&flow, &browser, at(1)).await.unwrap(), Some(new.request.clone()));
    assert_eq!(store.flow(&flow, &stranger, at(1)).await.unwrap(), None);
    assert_eq!(store.flow(&flow, &browser, at(900)).await.unwrap(), None);
    assert!(!store.update_flow(&flow, &stranger, b"evil", at(1)).await.unwrap());
    assert!(!store.update_flow(&flow, &browser, b"late", at(900)).await.unwrap());
    assert!(store.update_flow(&flow, &browser, b"next", at(1)).await.unwrap());
    assert_eq!(store.consume_flow(&flow, &stranger, at(1)).await.unwrap(), None);
    assert_eq!(store.consume_flow(&flow, &browser, at(900)).await.unwrap(), None);
    assert_eq!(store.consume_flow(&flow, &browser, at(1)).await.unwrap(), Some(b"next".to_vec()));
    assert_eq!(store.consume_flow(&flow, &browser, at(1)).await.unwrap(), None);
    assert_eq!(store.flow(&flow, &browser, at(1)).await.unwrap(), None);
}

pub(crate) async fn a_flow_consumed_fifty_times_at_once_is_given_out_once(db: Db) {
    let store = db.open().await;
    store.insert_flow(&new_flow()).await.unwrap();
    let given = fifty(&db, |store, _| async move {
        store.consume_flow(&hash("flow"), &hash("browser"), at(1)).await.unwrap()
    });
    let given = given.await;
    assert_eq!(given.iter().flatten().count(), 1);
}
