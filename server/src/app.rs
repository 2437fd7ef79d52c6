//! The running node: what is started, in which order, and how it ends.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use anyhow::Context as _;
use hubwire_core::id::NodeId;
use hubwire_core::node::Node;
use socket2::{Domain, Socket, Type};
use tokio::sync::watch;

use crate::clock::{now, now_in_milliseconds};
use crate::config::{Config, Sources};
use crate::data_dir;
use crate::engine_settings::{hub_table, limits};
use crate::front::{FrontDoor, FrontSettings};
use crate::keys::KeyStore;
use crate::reload::Reloader;
use crate::sessions_file::SessionsFile;
use crate::shards::{Clock, Shards};
use crate::shutdown::Shutdown;
use crate::signals::{ReloadRequests, StopRequests};
use crate::startup_screen::{self, Facts};
use crate::telemetry::LogLevel;
use crate::tls::Acceptor;
use crate::{admin, descriptors};

/// There is one node so far.
const NODE: NodeId = NodeId(0);

/// Threads of the front door. It is idle but for new connections and REST.
const FRONT_DOOR_THREADS: usize = 2;

/// Connections that the system completes before they are accepted: as many as it allows, so that
/// a whole fleet can come back at once.
const BACKLOG: i32 = 4096;

/// Serves until a signal asks to stop. On the way a signal may ask to read `sources` again, from
/// which `config` came.
///
/// # Errors
///
/// If the node cannot start: an address is taken, or the system refuses a thread.
pub fn run(config: &Config, sources: Sources, log_level: LogLevel) -> anyhow::Result<()> {
    let clock = Clock::start();
    let descriptors = descriptors::raise_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(FRONT_DOOR_THREADS)
        .thread_name("front-door")
        .enable_all()
        .build()
        .context("cannot start the front door")?;
    // Both addresses are taken before anything else happens, so that a conflict is the first and
    // only message.
    let listener = listen(config, config.listen)?;
    let admin_listener = config
        .admin_listen
        .map(|address| listen(config, address))
        .transpose()?;
    let bound = listener
        .local_addr()
        .context("cannot read the listener's address")?;
    let admin_bound = admin_listener
        .as_ref()
        .map(TcpListener::local_addr)
        .transpose()?;

    let keys = Arc::new(KeyStore::open(config)?);
    let _data_dir = data_dir::lock(config)?;
    let tls = match &config.tls {
        Some(tls) => Some(Acceptor::new(tls.read()?)?),
        None => None,
    };
    let node = Node::new(
        NODE,
        config.shards,
        limits(config, descriptors.connections),
        hub_table(config),
    );
    let running = i64::try_from(clock.now().0).unwrap_or_default();
    node.set_start(now_in_milliseconds() - running);
    let sessions_file = SessionsFile::new(config, &keys, NODE);
    let settings = FrontSettings::new(
        config,
        keys,
        tls,
        bound.port(),
        descriptors.http_connections,
    )?;
    // From here on a signal ends the node in order, or reloads it: before sessions are taken, which
    // would be lost with a process that just ends.
    let (mut stop, reload_requests) = {
        let _runtime = runtime.enter();
        (StopRequests::watch()?, ReloadRequests::watch()?)
    };
    let saved = sessions_file.as_ref().map(SessionsFile::take);
    let (returning, restored) = saved.unwrap_or_default().seat(&node, clock.now());
    let shards = Shards::start(&node, clock, returning)?;
    let front = FrontDoor::new(Arc::clone(&node), shards.doorways.clone(), clock, settings);
    front.count_restored(restored);
    runtime.block_on(async {
        let (ending, ended) = watch::channel(false);
        let serving = tokio::spawn(front.clone().serve(to_tokio(listener)?, ended.clone()));
        let reloader = Reloader {
            sources,
            running: config.clone(),
            front: front.clone(),
            log_level,
        };
        tokio::spawn(reloader.serve(reload_requests));
        if let Some(listener) = admin_listener {
            tokio::spawn(admin::serve(front.clone(), to_tokio(listener)?, ended));
        }
        greet(config, bound, admin_bound)?;
        tracing::info!(address = %bound, shards = config.shards, "serving");

        stop.next().await;
        tracing::info!("shutting down");
        let shutdown = Shutdown {
            node: &node,
            shards: &shards,
            front: &front,
            limits: &config.limits,
            sessions: sessions_file.as_ref(),
            ending,
            serving,
        };
        shutdown.run(&mut stop).await;
        anyhow::Ok(())
    })?;
    // Whatever still hangs was given its time.
    runtime.shutdown_background();
    tracing::info!("stopped");
    Ok(())
}

fn listen(config: &Config, address: SocketAddr) -> anyhow::Result<TcpListener> {
    let bind = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        // A restart must not wait for the connections of the process before.
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    };
    bind().map_err(|error: std::io::Error| config.cannot_listen(address, &error).into())
}

fn to_tokio(listener: TcpListener) -> anyhow::Result<tokio::net::TcpListener> {
    tokio::net::TcpListener::from_std(listener).context("cannot watch a listener")
}

fn greet(config: &Config, bound: SocketAddr, admin: Option<SocketAddr>) -> anyhow::Result<()> {
    let facts = Facts::new(config, bound, admin, now())?;
    let screen = startup_screen::render(&facts) + &startup_screen::render_trust(&facts);
    crate::cli::print(&screen).context("cannot print")
}
