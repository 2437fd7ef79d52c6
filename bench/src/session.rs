//! A run: the target, the loop, the server's process, and what all scenarios do with them.

use std::time::Duration;

use anyhow::Context as _;

use crate::cli::Common;
use crate::client::ClientPlan;
use crate::driver::{Dialing, Driver, Plan};
use crate::measure::{Measured, Measurement};
use crate::process::{ServerProcess, raise_descriptor_limit};
use crate::publication::Publication;
use crate::subprotocol::Subprotocol;
use crate::target::Target;

/// Everything that a scenario works with.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) target: Target,
    pub(crate) driver: Driver,
    pub(crate) server: Option<ServerProcess>,
    /// What the clients speak.
    pub(crate) subprotocol: Subprotocol,
}

impl Session {
    /// Resolves the target and looks for the server's process. Nothing is sent yet.
    pub(crate) fn new(common: &Common, subprotocol: Subprotocol) -> anyhow::Result<Self> {
        let connection_string = common.connection_string.as_deref().context(
            "no server to load: give --connection-string \
             \"Endpoint=http://HOST:PORT;AccessKey=KEY;Version=1.0;\"",
        )?;
        let target = Target::resolve(connection_string, &common.hub)?;
        let driver = Driver::new(Dialing {
            address: target.address(),
            parallel: common.parallel,
            timeout: common.connect_timeout,
            sources: common.sources,
            descriptors: raise_descriptor_limit(),
            sequence_ack_interval: if subprotocol.is_reliable() {
                common.sequence_ack_interval
            } else {
                Duration::ZERO
            },
        })?;
        Ok(Self {
            target,
            driver,
            server: common.server_pid.map(ServerProcess::find).transpose()?,
            subprotocol,
        })
    }

    /// Plans the `nth` next client to open (from 0), with a token signed now.
    pub(crate) fn client(&self, nth: usize, joins: Option<String>) -> ClientPlan {
        let index = self.driver.next_index() + nth;
        ClientPlan {
            subprotocol: self.subprotocol,
            upgrade: self.target.upgrade_request(index, self.subprotocol),
            joins,
            publishes: None,
        }
    }

    /// As [`Session::client`], for a client that publishes to `group`.
    pub(crate) fn publisher(
        &self,
        nth: usize,
        joins: Option<String>,
        publishes_to: &str,
        size: usize,
        ack: bool,
    ) -> anyhow::Result<ClientPlan> {
        let sender = u32::try_from(self.driver.next_index() + nth)?;
        let publication = Publication::new(self.subprotocol, publishes_to, sender, size, ack);
        Ok(ClientPlan {
            publishes: Some(Box::new(publication)),
            ..self.client(nth, joins)
        })
    }

    /// Plans `count` members, `members` to a group.
    pub(crate) fn members(&self, count: usize, members: usize) -> Vec<Plan> {
        (0..count)
            .map(|nth| Plan::Client(self.client(nth, Some(group(nth / members)))))
            .collect()
    }

    pub(crate) fn start_measuring(&mut self) -> anyhow::Result<Measurement> {
        Ok(Measurement::start(&mut self.driver, self.server.as_ref())?)
    }

    pub(crate) fn finish(&self, measurement: Measurement) -> anyhow::Result<Measured> {
        Ok(measurement.finish(&self.driver, self.server.as_ref())?)
    }
}

/// The name of a group.
pub(crate) fn group(nth: usize) -> String {
    format!("g{nth}")
}
