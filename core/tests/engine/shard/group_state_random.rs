//! Group state played at random: whatever members do while shards are slow, crowded and cut short,
//! every subscriber ends with the truth, and is told nothing that it did not ask for.

use std::collections::BTreeMap;

use hubwire_core::settings::{Limits, TickBudget};
use proptest::prelude::*;
use serde_json::Value;

use super::group_state::{connect, set, subscribe, unsubscribe};
use crate::support::client::{Client, Seen, json};
use crate::support::world::{Joining, World};

/// One thing that happens.
#[derive(Debug, Clone, Copy)]
enum Act {
    Join(usize),
    Leave(usize),
    Set(usize, u8),
    Clear(usize),
    Subscribe(usize),
    Unsubscribe(usize),
    Close(usize),
    Tick(usize),
    Pass,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let client = || 0usize..CLIENTS;
    let act = prop_oneof![
        2 => client().prop_map(Act::Join),
        2 => client().prop_map(Act::Leave),
        6 => (client(), any::<u8>()).prop_map(|(client, value)| Act::Set(client, value)),
        2 => client().prop_map(Act::Clear),
        4 => client().prop_map(Act::Subscribe),
        1 => client().prop_map(Act::Unsubscribe),
        1 => client().prop_map(Act::Close),
        18 => (0usize..SHARDS).prop_map(Act::Tick),
        1 => Just(Act::Pass),
    ];
    prop::collection::vec(act, 0..150)
}

const CLIENTS: usize = 6;
const SHARDS: usize = 3;

/// A client, what it did, and what it knows of the group.
struct Player {
    client: Client,
    is_open: bool,
    is_member: bool,
    is_subscriber: bool,
    state: Option<u8>,
    /// What each request asked for that is not acknowledged yet.
    asked: BTreeMap<u64, Asked>,
    next_ack: u64,
    /// Whether it was told that it is a subscriber and has no snapshot yet.
    awaits_snapshot: bool,
    /// The newest state of each connection and its time, while it is told.
    known: Option<BTreeMap<String, (i64, Option<String>)>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Subscription,
    ItsEnd,
    Else,
}

impl Player {
    fn new(client: Client) -> Self {
        Self {
            client,
            is_open: true,
            is_member: true,
            is_subscriber: false,
            state: None,
            asked: BTreeMap::new(),
            next_ack: 1,
            awaits_snapshot: false,
            known: None,
        }
    }

    fn ask(&mut self, asked: Asked, text: impl FnOnce(Option<u64>) -> String) {
        let ack_id = self.next_ack;
        self.next_ack += 1;
        self.asked.insert(ack_id, asked);
        self.client.text(&text(Some(ack_id)));
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Join(_) => {
                self.is_member = true;
                self.ask(Asked::Else, |ack_id| json::join("room", ack_id));
            }
            Act::Leave(_) => {
                (self.is_member, self.is_subscriber, self.state) = (false, false, None);
                self.ask(Asked::ItsEnd, |ack_id| json::leave("room", ack_id));
            }
            Act::Set(_, value) => {
                if self.is_member {
                    self.state = Some(value);
                }
                let text = value.to_string();
                let entries = [("value", &text[..])];
                self.ask(Asked::Else, |ack_id| set("room", Some(&entries), ack_id));
            }
            Act::Clear(_) => {
                self.state = None;
                self.ask(Asked::Else, |ack_id| set("room", None, ack_id));
            }
            Act::Subscribe(_) => {
                self.is_subscriber = self.is_member;
                let asked = if self.is_member {
                    Asked::Subscription
                } else {
                    Asked::Else
                };
                self.ask(asked, subscribe);
            }
            Act::Unsubscribe(_) => {
                self.is_subscriber = false;
                self.ask(Asked::ItsEnd, unsubscribe);
            }
            Act::Close(_) => {
                (self.is_open, self.is_member, self.is_subscriber) = (false, false, false);
                self.state = None;
                self.client.close(1000);
            }
            Act::Tick(_) | Act::Pass => {}
        }
    }

    /// Follows what came, as a client library would.
    fn follow(&mut self) {
        for seen in self.client.receive_all() {
            let Seen::Text(text) = seen else { continue };
            let message: Value = serde_json::from_str(&text).unwrap();
            match message["type"].as_str().unwrap() {
                "ack" => self.follow_ack(message["ackId"].as_u64().unwrap()),
                "groupStateSnapshot" => {
                    assert!(self.awaits_snapshot, "a snapshot too many: {text}");
                    self.awaits_snapshot = false;
                    self.known = Some(BTreeMap::new());
                    self.learn(&message);
                }
                "groupStateUpdate" => {
                    assert!(
                        self.known.is_some(),
                        "an update too early or too late: {text}"
                    );
                    self.learn(&message);
                }
                other => panic!("{other}"),
            }
        }
    }

    fn follow_ack(&mut self, ack_id: u64) {
        match self.asked.remove(&ack_id).unwrap() {
            Asked::Subscription => self.awaits_snapshot = true,
            Asked::ItsEnd => (self.awaits_snapshot, self.known) = (false, None),
            Asked::Else => {}
        }
    }

    fn learn(&mut self, message: &Value) {
        let known = self.known.as_mut().unwrap();
        for item in message["items"].as_array().unwrap() {
            let id = item["connectionId"].as_str().unwrap().to_owned();
            let at = item["updatedAt"].as_i64().unwrap();
            let value = item["state"]["value"].as_str().map(str::to_owned);
            if known.get(&id).is_none_or(|(before, _)| *before < at) {
                known.insert(id, (at, value));
            }
        }
    }
}

/// Plays everything, then lets the world come to rest.
fn play(acts: &[Act], limits: Limits, budget: &TickBudget) {
    let mut world = World::new(SHARDS, limits, budget);
    let mut players: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let joining = Joining {
                groups: &["room"],
                ..Joining::default()
            };
            Player::new(connect(&mut world, &joining))
        })
        .collect();
    for act in acts {
        match *act {
            Act::Join(client)
            | Act::Leave(client)
            | Act::Set(client, _)
            | Act::Clear(client)
            | Act::Subscribe(client)
            | Act::Unsubscribe(client)
            | Act::Close(client) => {
                if players[client].is_open {
                    players[client].act(*act);
                }
            }
            Act::Tick(shard) => {
                world.arrive_all();
                world.tick(shard, || true);
            }
            Act::Pass => world.now = world.now.plus(3),
        }
        for player in &mut players {
            player.follow();
        }
    }
    world.run();
    let truth: BTreeMap<_, _> = players
        .iter()
        .filter_map(|player| Some((player.client.id.to_string(), player.state?.to_string())))
        .collect();
    for player in &mut players {
        player.follow();
        assert!(player.asked.is_empty() || !player.is_open, "unanswered");
        if !player.is_open {
            continue;
        }
        assert!(!player.awaits_snapshot, "no snapshot came");
        let set = |(id, (_, value)): (&String, &(i64, Option<String>))| {
            Some((id.clone(), value.clone()?))
        };
        let known = player.known.as_ref();
        let known = known.map(|known| known.iter().filter_map(set).collect::<BTreeMap<_, _>>());
        assert_eq!(known.is_some(), player.is_subscriber);
        assert!(
            known.is_none_or(|known| known == truth),
            "{:?}",
            player.known
        );
        player.client.close(1000);
    }
    world.run();
    world.assert_empty();
}

proptest! {
    #[test]
    fn every_subscriber_ends_with_the_truth(
        acts in acts(),
        inbox_commands in 1usize..4,
        members in 1usize..6,
        commands in 1usize..4,
        reads in 1usize..4,
    ) {
        let limits = Limits {
            inbox_commands,
            ..Limits::default()
        };
        let budget = TickBudget {
            members,
            commands,
            reads,
            ..TickBudget::default()
        };
        play(&acts, limits, &budget);
    }
}
