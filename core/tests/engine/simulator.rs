//! A whole node under a virtual clock, played at random from a seed and checked against a naive
//! model: in order, nothing twice, nothing lost, nobody left waiting, nothing left over.
//!
//! `HUBWIRE_SIM_SEEDS=n` plays `n` seeds in each test, `HUBWIRE_SIM_SEED=x` plays only seed `x`.

mod actor;
mod front;
mod game;
mod model;
mod plan;
mod random;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use game::Game;
use plan::Plan;

/// Seeds that found a mistake once.
const REGRESSIONS: &[u64] = &[];

/// Seeds per test unless the environment says otherwise. Two tests, so that two cores share them.
const SEEDS: u64 = 1000;

#[test]
fn even_seeds_keep_the_promises() {
    play_all(0);
}

#[test]
fn odd_seeds_keep_the_promises() {
    play_all(1);
}

#[test]
fn seeds_that_found_mistakes_keep_the_promises() {
    for seed in REGRESSIONS {
        play(*seed);
    }
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
    for seed in 0..from_environment("HUBWIRE_SIM_SEEDS").unwrap_or(SEEDS) {
        play(seed * 2 + parity);
    }
}

fn play(seed: u64) {
    let plan = Plan::new(seed);
    let played = catch_unwind(AssertUnwindSafe(|| Game::new(seed, plan.clone()).play()));
    if let Err(failure) = played {
        println!("seed {seed} failed with {plan:#?}");
        println!(
            "repeat it with HUBWIRE_SIM_SEED={seed} cargo nextest run -p hubwire-core simulator"
        );
        resume_unwind(failure);
    }
}
