//! Filters of the REST API.

use hubwire_proto::filter::{Filter, FilterSubject, Verdict};

struct Connection {
    user: Option<&'static str>,
    groups: &'static [&'static str],
}

impl FilterSubject for Connection {
    fn connection_id(&self) -> &str {
        "c1"
    }
    fn user_id(&self) -> Option<&str> {
        self.user
    }
    fn protocol(&self) -> Option<&str> {
        self.user.map(|_| "json.webpubsub.azure.v1")
    }
    fn in_group(&self, group: &str) -> bool {
        self.groups.contains(&group)
    }
    fn group_count(&self) -> usize {
        self.groups.len()
    }
}

const CONNECTIONS: [Connection; 3] = [
    Connection {
        user: None,
        groups: &[],
    },
    Connection {
        user: Some("User-😀"),
        groups: &["a", "b"],
    },
    Connection {
        user: Some(""),
        groups: &["a"],
    },
];

/// No text panics the reader or the evaluator, and a filter means the same in brackets, said
/// twice, and not denied.
pub fn filter(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let filter = match Filter::parse(text) {
        Ok(filter) => filter,
        Err(error) => {
            let error = error.to_string();
            assert!(error.starts_with("Invalid syntax for '"));
            assert!(error.ends_with(" (Parameter 'filter')"));
            return;
        }
    };
    // What follows can exceed a limit that the text itself keeps.
    let twice = Filter::parse(&format!("({text}) and ({text})"));
    let denied = Filter::parse(&format!("not ({text})"));
    for connection in &CONNECTIONS {
        let Verdict {
            picks: picked,
            cost,
        } = filter.judge(connection);
        assert!(cost > 0);
        if let Ok(twice) = &twice {
            // Looking at it twice may be too much work.
            assert!(picked || !twice.judge(connection).picks);
        }
        if let Ok(denied) = &denied {
            assert!(!(picked && denied.judge(connection).picks));
        }
    }
}
