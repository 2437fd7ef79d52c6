//! A whole node under a virtual clock, played at random from a seed and checked against a naive
//! model: in order, nothing twice, nothing lost, nobody left waiting, nothing left over; for
//! reliable clients over every loss of a transport and every restart of the node.
//!
//! `HUBWIRE_SIM_SEEDS=n` plays `n` seeds in each test, `HUBWIRE_SIM_SEED=x` plays only seed `x`.

mod actor;
mod front;
mod game;
mod group_states;
mod lease;
mod model;
mod numbers;
mod plan;
mod random;
mod reliable;
mod requests;
mod rights;
mod streams;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use game::Game;
use hubwire_core::metrics::{MetricKind, ShardNumbers};
use plan::Plan;

/// Seeds per test unless the environment says otherwise. Two tests, so that two cores share them.
const SEEDS: u64 = 2000;
/// Seeds that failed once: they are played in every run.
const REGRESSIONS: &[u64] = &[
    // A refused transport was finished although it still owed bytes.
    64, 71,
    // Sessions that were taken over from an earlier node ended without having begun.
    3, 10,
];
/// So many seeds meet every situation that the games are for.
const TELLING: u64 = 500;

#[test]
fn even_seeds_keep_the_promises() {
    play_all(0);
}

#[test]
fn odd_seeds_keep_the_promises() {
    play_all(1);
}

fn play_all(parity: u64) {
    let from_environment = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|value| value.parse::<u64>().unwrap())
    };
    if let Some(seed) = from_environment("HUBWIRE_SIM_SEED") {
        if seed % 2 == parity {
            play(seed);
        }
        return;
    }
    let seeds = from_environment("HUBWIRE_SIM_SEEDS").unwrap_or(SEEDS);
    let mut sum = ShardNumbers::default();
    let regressions = REGRESSIONS.iter().copied();
    for seed in regressions.filter(|seed| seed % 2 == parity) {
        sum.add(&play(seed));
    }
    for seed in 0..seeds {
        sum.add(&play(seed * 2 + parity));
    }
    println!("{sum:#?}");
    if seeds >= TELLING {
        for metric in sum.list() {
            assert_eq!(
                metric.value == 0,
                metric.kind == MetricKind::Gauge,
                "no game met {}: {sum:#?}",
                metric.name
            );
        }
    }
}

fn play(seed: u64) -> ShardNumbers {
    let plan = Plan::new(seed);
    match catch_unwind(AssertUnwindSafe(|| Game::new(seed, plan.clone()).play())) {
        Ok(numbers) => numbers,
        Err(failure) => {
            println!("seed {seed} failed with {plan:#?}");
            println!(
                "repeat it with HUBWIRE_SIM_SEED={seed} cargo nextest run -p hubwire-core simulator"
            );
            resume_unwind(failure);
        }
    }
}
