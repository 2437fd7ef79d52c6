//! Addresses: what to listen on, and how the world calls it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use hubwire_proto::connection_string::Endpoint;

/// An IP address or `localhost`, and a port.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let wrong = || format!("must be an IP address and a port such as 127.0.0.1:8080, not {text:?}");
    match text.rsplit_once(':') {
        Some((host, port)) if host.eq_ignore_ascii_case("localhost") => {
            let port = port.parse().map_err(|_| wrong())?;
            Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
        }
        _ => text.parse().map_err(|_| wrong()),
    }
}

/// A public address.
pub(super) fn endpoint(text: &str) -> Result<Endpoint, String> {
    Endpoint::parse(text).map_err(|error| format!("{text:?} is no public address: {error}"))
}

/// Whether only this machine can reach the host of an endpoint.
pub(super) fn is_local(endpoint: &Endpoint) -> bool {
    let host = endpoint.host().to_ascii_lowercase();
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
