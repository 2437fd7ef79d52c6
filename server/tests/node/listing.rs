//! Listing the connections in a group.

use serde_json::Value;

use crate::support::{Client, Request, Response, Server, Token, on_one_and_four_shards};

const ROOM: &str = "/api/hubs/chat/groups/room/connections";

fn ids(page: &Response) -> Vec<String> {
    let rows = page.json()["value"].as_array().unwrap().clone();
    rows.iter()
        .map(|row| row["connectionId"].as_str().unwrap().to_owned())
        .collect()
}

/// The path and query of the next page.
fn next(server: &Server, page: &Response) -> Option<String> {
    let body = page.json();
    assert!(body.get("nextLink").is_some(), "it is always there");
    let link = body["nextLink"].as_str()?;
    let origin = format!("{}://{}", server.scheme(), server.authority());
    let path = link.strip_prefix(&origin);
    Some(
        path.expect("a link has the request's own authority")
            .to_owned(),
    )
}

fn members(server: &Server, count: usize) -> (Vec<Client>, Vec<String>) {
    let (clients, mut ids): (Vec<_>, Vec<_>) = (0..count)
        .map(|number| {
            let user = (number % 2 == 0).then_some("ann");
            let (mut client, id) = Client::json(server, "chat", user);
            client.join("room");
            (client, id)
        })
        .unzip();
    ids.sort_unstable();
    (clients, ids)
}

#[test]
fn pages_follow_one_another_in_the_order_of_ids() {
    on_one_and_four_shards("", |server| {
        let (_clients, all) = members(server, 11);
        for size in [1, 2, 5, 10, 11, 200] {
            let mut path = format!("{ROOM}?api-version=2024-12-01&maxpagesize={size}");
            let mut seen = Vec::new();
            loop {
                let page = server.rest("GET", &path);
                assert_eq!(page.status, 200);
                assert!(ids(&page).len() <= size);
                seen.extend(ids(&page));
                match next(server, &page) {
                    Some(link) => path = link,
                    None => break,
                }
            }
            assert_eq!(seen, all, "pages of {size}");
        }
        let page = server.rest("GET", ROOM);
        assert_eq!(ids(&page), all);
        let users: Vec<Value> = page.json()["value"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["userId"].clone())
            .collect();
        assert_eq!(users.iter().filter(|user| **user == "ann").count(), 6);
        assert_eq!(users.iter().filter(|user| user.is_null()).count(), 5);
    });
}

#[test]
fn top_bounds_all_pages_together() {
    on_one_and_four_shards("", |server| {
        let (_clients, all) = members(server, 4);
        // Case 80.
        let first = server.rest("GET", &format!("{ROOM}?maxpagesize=2&top=3"));
        assert_eq!(ids(&first), all[..2]);
        let link = next(server, &first).unwrap();
        assert!(link.ends_with("&top=1"), "{link}");
        let second = server.rest("GET", &link);
        assert_eq!(
            (ids(&second), next(server, &second)),
            (all[2..3].to_vec(), None)
        );
    });
}

#[test]
fn a_member_that_leaves_shifts_nobody() {
    on_one_and_four_shards("", |server| {
        let (_clients, all) = members(server, 5);
        let first = server.rest("GET", &format!("{ROOM}?maxpagesize=2"));
        let gone = format!("/api/hubs/chat/groups/room/connections/{}", all[1]);
        assert_eq!(server.rest("DELETE", &gone).status, 204);
        let second = server.rest("GET", &next(server, &first).unwrap());
        assert_eq!(ids(&second), all[2..4]);
    });
}

#[test]
fn an_empty_group_is_an_empty_list() {
    on_one_and_four_shards("", |server| {
        let page = server.rest("GET", ROOM);
        // Case 82.
        assert_eq!(
            (page.status, page.text().as_str()),
            (200, r#"{"value":[],"nextLink":null}"#)
        );
    });
}

#[test]
fn parameters_are_checked_and_cursors_belong_to_their_list() {
    on_one_and_four_shards("", |server| {
        let (_clients, _) = members(server, 2);
        let first = server.rest("GET", &format!("{ROOM}?maxpagesize=1"));
        let link = next(server, &first).unwrap();
        let token = link.split_once("continuationToken=").unwrap().1;
        let check = |path: &str, status: u16, message: &str| {
            let page = server.rest("GET", path);
            assert_eq!(page.status, status, "{path}");
            assert_eq!(
                page.json()["message"].as_str().unwrap_or_default(),
                message,
                "{path}"
            );
        };
        check(&format!("{ROOM}?continuationToken={token}"), 200, "");
        check(
            &format!("/api/hubs/CHAT/groups/room/connections?continuationToken={token}"),
            200,
            "",
        );
        // Case 81.
        let invalid = "Invalid continuationToken.";
        check(
            &format!("/api/hubs/chat/groups/other/connections?continuationToken={token}"),
            400,
            invalid,
        );
        check(
            &format!("/api/hubs/other/groups/room/connections?continuationToken={token}"),
            400,
            invalid,
        );
        check(
            &format!("{ROOM}?continuationToken={token}&continuationToken={token}"),
            400,
            invalid,
        );
        check(&format!("{ROOM}?continuationToken="), 400, invalid);
        check(
            &format!("{ROOM}?continuationToken={}", "A".repeat(2049)),
            400,
            invalid,
        );
        for wrong in ["0", "201", "-1", "x", "", "1&maxpagesize=1"] {
            check(
                &format!("{ROOM}?maxpagesize={wrong}"),
                400,
                "Invalid maxpagesize.",
            );
        }
        for wrong in ["0", "2147483648", ""] {
            check(&format!("{ROOM}?top={wrong}"), 400, "Invalid top.");
        }
        check(&format!("{ROOM}?top=2147483647"), 200, "");
    });
}

#[test]
fn links_name_the_address_that_the_caller_knows() {
    let endpoints = "endpoint = [\"https://wps.example.com/base\", \"http://other.example\"]\n";
    on_one_and_four_shards(endpoints, |server| {
        let mut clients = Vec::new();
        for _ in 0..2 {
            // The address of the process itself is among the audiences only as the request's host.
            let (mut client, _) = Client::json(server, "chat", None);
            client.join("room");
            clients.push(client);
        }
        let check = |host: &str, path: &str, expect: &str| {
            let token = Token::new(&format!("http://{host}{path}")).sign();
            let request = Request::new("GET", &format!("{path}?maxpagesize=1"));
            let page = server.send(request.header("Host", host).bearer(&token));
            let link = page.json()["nextLink"].as_str().unwrap().to_owned();
            assert_eq!(link.split_once('?').unwrap().0, expect);
        };
        // A proxy took the base path off, or did not.
        check(
            "wps.example.com",
            ROOM,
            &format!("https://wps.example.com/base{ROOM}"),
        );
        let below = format!("/base{ROOM}");
        check(
            "wps.example.com",
            &below,
            &format!("https://wps.example.com{below}"),
        );
        check(
            "OTHER.example",
            ROOM,
            &format!("http://other.example{ROOM}"),
        );
        check("127.0.0.1:9", ROOM, &format!("http://127.0.0.1:9{ROOM}"));
    });
}

#[test]
fn links_name_the_host_that_a_trusted_proxy_tells() {
    on_one_and_four_shards("[auth]\ntrust_forwarded_host = true\n", |server| {
        let (_clients, _) = members(server, 2);
        for (scheme, expect) in [("", "http"), ("https", "https")] {
            let request = Request::new("GET", &format!("{ROOM}?maxpagesize=1"))
                .header("X-Forwarded-Host", "gate.example:8443")
                .header("X-Forwarded-Proto", scheme)
                .authorized(server);
            let page = server.send(request);
            let link = page.json()["nextLink"].as_str().unwrap().to_owned();
            let (address, _) = link.split_once('?').unwrap();
            assert_eq!(address, format!("{expect}://gate.example:8443{ROOM}"));
        }
    });
}
