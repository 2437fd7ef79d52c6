//! The command line. Defaults are the loads of the published comparison.

use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::stamp;
use crate::subprotocol::Subprotocol;

/// Loads a Web PubSub server and prints one line of JSON with what it took.
///
/// The server is any that speaks one of the four predefined subprotocols at an http:// endpoint. With
/// --server-pid, the CPU time and memory of a server on this machine are part of the result.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) scenario: Scenario,
}

/// What every scenario needs.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Endpoint=http://HOST:PORT;AccessKey=KEY;Version=1.0;
    #[arg(
        long,
        global = true,
        env = "HUBWIRE_CONNECTION_STRING",
        hide_env_values = true
    )]
    pub(crate) connection_string: Option<String>,
    /// Hub to connect to
    #[arg(long, global = true, default_value = "bench")]
    pub(crate) hub: String,
    /// What clients speak [default: json; json.reliable for recover]
    #[arg(long, global = true, value_enum, value_name = "NAME")]
    pub(crate) subprotocol: Option<Subprotocol>,
    /// Seconds in which a reliable client acknowledges once, if messages arrived; 0 for never
    #[arg(long, global = true, value_name = "S", default_value = "1", value_parser = seconds)]
    pub(crate) sequence_ack_interval: Duration,
    /// Process id of a server on this machine (Linux); its children count too
    #[arg(long, global = true, value_name = "PID")]
    pub(crate) server_pid: Option<u32>,
    /// Handshakes in progress at once
    #[arg(long, global = true, default_value_t = 128, value_parser = at_least_one)]
    pub(crate) parallel: usize,
    /// Seconds that opening all connections may take
    #[arg(long, global = true, value_name = "S", default_value = "60", value_parser = seconds)]
    pub(crate) connect_timeout: Duration,
    /// Loopback source addresses 127.0.0.1 to 127.0.0.K (Linux)
    #[arg(long, global = true, value_name = "K", default_value_t = 16,
          value_parser = clap::value_parser!(u8).range(1..=254))]
    pub(crate) sources: u8,
}

/// The loads.
#[derive(Debug, Subcommand)]
pub(crate) enum Scenario {
    /// One publisher, many subscribers in one group
    Fanout(FanoutArgs),
    /// Many groups of two that talk to each other
    Pairs(PairsArgs),
    /// Connections as fast as they come: TCP, upgrade, token, connected, joinGroup
    ///
    /// Tokens are signed before the clock starts.
    Connect(ConnectArgs),
    /// Many connections that do nothing
    Idle(IdleArgs),
    /// Reliable clients that are cut at once, miss messages, and come back
    Recover(RecoverArgs),
    /// Publishing through the REST API to a group with one subscriber
    Rest(RestArgs),
}

impl Cli {
    /// What the clients of this run speak.
    pub(crate) fn subprotocol(&self) -> Subprotocol {
        self.common.subprotocol.unwrap_or(match self.scenario {
            Scenario::Recover(_) => Subprotocol::JsonReliable,
            _ => Subprotocol::Json,
        })
    }
}

/// How long to measure.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Timing {
    /// Seconds that each phase is measured
    #[arg(long, value_name = "S", default_value = "2", value_parser = seconds)]
    pub(crate) duration: Duration,
    /// Seconds of load before a phase is measured
    #[arg(long, value_name = "S", default_value = "0.6", value_parser = seconds)]
    pub(crate) warm_up: Duration,
}

/// What is published.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Payload {
    /// Bytes of text in a message
    #[arg(long, value_name = "B", default_value_t = 128, value_parser = payload_size)]
    pub(crate) size: usize,
    /// Ask for an acknowledgement of each publish
    #[arg(long, default_value_t = true, action = ArgAction::Set)]
    pub(crate) ack: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FanoutArgs {
    /// Subscribers
    #[arg(long, default_value_t = 1000, value_parser = at_least_one)]
    pub(crate) connections: usize,
    /// Publishes in flight in the closed loop; 0 skips it [default: 64, or 16 from 5,000
    /// connections on]
    #[arg(long, value_name = "W")]
    pub(crate) window: Option<u32>,
    /// Publishes per second at the fixed rate; 0 skips it [default: what makes 50,000
    /// deliveries/s]
    #[arg(long, value_name = "R", value_parser = rate)]
    pub(crate) rate: Option<f64>,
    #[command(flatten)]
    pub(crate) payload: Payload,
    #[command(flatten)]
    pub(crate) timing: Timing,
}

#[derive(Debug, Args)]
pub(crate) struct PairsArgs {
    /// Groups of two
    #[arg(long, default_value_t = 500, value_parser = at_least_one)]
    pub(crate) groups: usize,
    /// Publishes in flight per member in the closed loop; 0 skips it
    #[arg(long, value_name = "W", default_value_t = 1)]
    pub(crate) window: u32,
    /// Publishes per second and member at the fixed rate; 0 skips it
    #[arg(long, value_name = "R", default_value = "10", value_parser = rate)]
    pub(crate) rate: f64,
    #[command(flatten)]
    pub(crate) payload: Payload,
    #[command(flatten)]
    pub(crate) timing: Timing,
}

#[derive(Debug, Args)]
pub(crate) struct ConnectArgs {
    /// Connections to open
    #[arg(long, default_value_t = 5000, value_parser = at_least_one)]
    pub(crate) connections: usize,
    /// Members of each group
    #[arg(long, value_name = "M", default_value_t = 10, value_parser = at_least_one)]
    pub(crate) members: usize,
}

#[derive(Debug, Args)]
pub(crate) struct IdleArgs {
    /// Connections to hold
    #[arg(long, default_value_t = 10_000, value_parser = at_least_one)]
    pub(crate) connections: usize,
    /// Members of each group
    #[arg(long, value_name = "M", default_value_t = 10, value_parser = at_least_one)]
    pub(crate) members: usize,
    /// All connections in one group
    #[arg(long, conflicts_with = "members")]
    pub(crate) one_group: bool,
    /// Seconds to measure
    #[arg(long, value_name = "S", default_value = "2", value_parser = seconds)]
    pub(crate) duration: Duration,
    /// Seconds to wait before memory is read and the measurement begins
    #[arg(long, value_name = "S", default_value = "1", value_parser = seconds)]
    pub(crate) settle: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct RecoverArgs {
    /// Members of one group that are cut
    #[arg(long, default_value_t = 5000, value_parser = at_least_one)]
    pub(crate) connections: usize,
    /// Messages that each of them misses
    #[arg(long, value_name = "K", default_value_t = 10)]
    pub(crate) missed: u64,
    /// Bytes of text in a message
    #[arg(long, value_name = "B", default_value_t = 128, value_parser = payload_size)]
    pub(crate) size: usize,
    /// Wait for somebody to restart the server before they come back
    #[arg(long, conflicts_with = "server_pid")]
    pub(crate) restart: bool,
    /// Seconds between two attempts of a client
    #[arg(long, value_name = "S", default_value = "1", value_parser = seconds)]
    pub(crate) retry: Duration,
    /// Seconds after which a client gives up
    #[arg(long, value_name = "S", default_value = "30", value_parser = seconds)]
    pub(crate) give_up: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct RestArgs {
    /// HTTP connections, each with one request in flight
    #[arg(long, default_value_t = 16, value_parser = at_least_one)]
    pub(crate) connections: usize,
    /// Bytes of text in a message
    #[arg(long, value_name = "B", default_value_t = 128, value_parser = payload_size)]
    pub(crate) size: usize,
    /// One token per connection, or one per request (signed while the clock runs)
    #[arg(long, value_enum, default_value_t = TokenUse::Repeated)]
    pub(crate) token: TokenUse,
    #[command(flatten)]
    pub(crate) timing: Timing,
}

/// How tokens of REST requests are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TokenUse {
    Fresh,
    Repeated,
}

/// Longer phases are a mistake of the unit.
const MAX_SECONDS: f64 = 86_400.0;
/// Above what the protocol lets through (1 MiB a message).
const MAX_PAYLOAD: usize = 1 << 20;
const MAX_RATE: f64 = 1e9;

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) if (0.0..=MAX_SECONDS).contains(&seconds) => {
            Ok(Duration::from_secs_f64(seconds))
        }
        _ => Err(format!("not a number of seconds from 0 to {MAX_SECONDS}")),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.0..=MAX_RATE).contains(&rate) => Ok(rate),
        _ => Err(format!("not a rate from 0 to {MAX_RATE}")),
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..) => Ok(count),
        _ => Err("not a number from 1 on".to_owned()),
    }
}

fn payload_size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(size @ stamp::SIZE..=MAX_PAYLOAD) => Ok(size),
        _ => Err(format!("not a size from {} to {MAX_PAYLOAD}", stamp::SIZE)),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults_are_those_of_the_comparison() {
        let parse = |scenario| Cli::try_parse_from(["hubwire-bench", scenario]).expect("valid");
        assert_eq!(parse("fanout").common.parallel, 128);
        match parse("fanout").scenario {
            Scenario::Fanout(args) => {
                assert_eq!((args.connections, args.payload.size), (1000, 128));
                assert!(args.payload.ack);
                assert_eq!(args.timing.duration, Duration::from_secs(2));
                assert_eq!(args.timing.warm_up, Duration::from_millis(600));
            }
            other => panic!("{other:?}"),
        }
        match parse("pairs").scenario {
            Scenario::Pairs(args) => assert_eq!((args.groups, args.window), (500, 1)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn clients_are_reliable_where_they_have_to_be() {
        fn check(arguments: &str, expect: Subprotocol) {
            let words = ["hubwire-bench"].into_iter().chain(arguments.split(' '));
            let cli = Cli::try_parse_from(words).expect("valid");
            assert_eq!(cli.subprotocol(), expect, "{arguments}");
        }
        check("fanout", Subprotocol::Json);
        check("recover", Subprotocol::JsonReliable);
        check(
            "idle --subprotocol protobuf.reliable",
            Subprotocol::ProtobufReliable,
        );
        check("recover --subprotocol json", Subprotocol::Json);
    }

    #[test]
    fn options_are_read_or_refused_by_name() {
        fn check(arguments: &str, refused: Option<&str>) {
            let words = ["hubwire-bench"].into_iter().chain(arguments.split(' '));
            match (Cli::try_parse_from(words), refused) {
                (Ok(_), None) => {}
                (Err(error), Some(part)) => {
                    let text = error.to_string();
                    assert!(text.contains(part), "{arguments}: {text}");
                }
                (result, _) => panic!("{arguments}: {result:?}"),
            }
        }
        check("fanout --hub h --rate 12.5 --ack false --window 0", None);
        check("--hub h --server-pid 7 idle --one-group --settle 0.5", None);
        check("rest --token fresh --connections 4", None);
        check("connect --members 1 --sources 1", None);
        check(
            "fanout --subprotocol protobuf --sequence-ack-interval 0",
            None,
        );
        check(
            "--subprotocol json.reliable recover --missed 0 --restart",
            None,
        );
        check("recover --restart --server-pid 7", Some("--restart"));
        check("idle --subprotocol json.webpubsub", Some("json.reliable"));
        check("", Some("unrecognized subcommand"));
        check("fanout --size 25", Some("from 26"));
        check("fanout --duration=-1", Some("--duration"));
        check("fanout --duration NaN", Some("--duration"));
        check("fanout --rate inf", Some("--rate"));
        check("pairs --groups 0", Some("--groups"));
        check("idle --one-group --members 5", Some("--members"));
        check("rest --token stale", Some("fresh"));
        check("rest --window 3", Some("--window"));
        check("connect --sources 255", Some("--sources"));
    }
}
