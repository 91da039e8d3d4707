//! Pages: the upstream's links never leave, and our handles open for their holder only.

use crate::upstream::{SELF, bundle, json, observation};
use crate::world::{BASE, Holder, World, parsed, text};

const SCOPE: &str = "patient/Observation.rs";

fn next(url: &str) -> String {
    format!(r#"{SELF},{{"relation":"next","url":"{url}"}}"#)
}

async fn first_page(world: &World, url: &str) -> Option<String> {
    let sent = bundle(&[observation("o1", "pat-a", "laboratory", "")], &next(url));
    world.up.says(move |_| json(&sent));
    let response = world.get(&world.hers(SCOPE), "/Observation?_count=1&code=4548-4").await;
    let json = parsed(&response);
    assert!(json.get("total").is_none(), "a first page of several has no total");
    assert!(!text(&response).contains("SECRET") && !text(&response).contains("127.0.0.1"));
    world.up.asked();
    let links = json["link"].as_array().unwrap().clone();
    let link = links.into_iter().find(|link| link["relation"] == "next")?;
    Some(link["url"].as_str().unwrap().strip_prefix(BASE).unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_handle_leads_its_holder_to_the_next_page_and_judges_it_again_row_18() {
    let world = World::new().await;
    let target =
        first_page(&world, &format!("{}?_getpages=SECRET&o=1", world.up.base)).await.unwrap();
    let page = [
        observation("o2", "pat-a", "laboratory", ""),
        observation("o3", "pat-b", "laboratory", ""),
        observation("o4", "pat-a", "laboratory", "").replace("4548-4", "another-code"),
    ];
    let sent = bundle(&page, SELF);
    world.up.says(move |_| json(&sent));
    let json = parsed(&world.get(&world.hers(SCOPE), &target).await);
    assert_eq!(world.up.asked()[0].line, "GET /up?_getpages=SECRET&o=1 HTTP/1.1");
    assert_eq!(json["entry"].as_array().unwrap().len(), 1);
    assert_eq!(json["entry"][0]["resource"]["id"], "o2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_handle_opens_for_nobody_else_row_18() {
    let world = World::new().await;
    let target = first_page(&world, &format!("{}?_getpages=SECRET", world.up.base)).await.unwrap();
    let wider = world.hers("patient/Observation.rs patient/Patient.rs");
    let doctor = world.token(Holder::Solis, SCOPE, Some("pat-a"));
    for token in [wider, doctor] {
        assert_eq!(world.get(&token, &target).await.status.as_u16(), 404);
    }
    let condition = target.replace("/Observation", "/Condition");
    let both = world.hers("patient/Observation.rs patient/Condition.rs");
    assert_eq!(world.get(&both, &condition).await.status.as_u16(), 404);
    let (cut, _) = target.split_at(target.len() - 1);
    for bad in ["/Observation?_page=", "/Observation?_page=AAAA", cut] {
        assert_eq!(world.get(&world.hers(SCOPE), bad).await.status.as_u16(), 404, "{bad}");
    }
    world.clock.advance(901);
    assert_eq!(world.get(&world.hers(SCOPE), &target).await.status.as_u16(), 404);
    assert!(world.up.asked().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_leaves_the_upstream_is_dropped_row_18() {
    let world = World::new().await;
    let base = world.up.base.clone();
    for url in [
        "http://127.0.0.1:1/up?x".to_owned(),
        "http://169.254.169.254/latest".to_owned(),
        format!("{base}/../admin"),
        format!("{base}x?y"),
        "/up?x".to_owned(),
        format!("{base}?{}", "x".repeat(4_000)),
    ] {
        assert_eq!(first_page(&world, &url).await, None, "{url}");
    }
}
