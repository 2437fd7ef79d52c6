//! Waiting for readiness, to better than a millisecond.
//!
//! `mio` waits in whole milliseconds; a fixed rate of 10,000 messages a second needs a hundredth
//! of that to send each when it is due. On Linux a timer descriptor in the same poll wakes it;
//! elsewhere short waits round up and messages leave in small bursts.

use std::io;
use std::time::Duration;

use mio::event::{Iter, Source};
use mio::{Events, Interest, Poll, Token};

const EVENTS: usize = 1024;
/// The least wait that `mio` can do by itself.
const TICK: Duration = Duration::from_millis(1);
/// Below this, arming a timer costs more than the wait.
const TOO_SHORT: Duration = Duration::from_micros(5);

/// A readiness loop's kernel side: edge-triggered, with a short timer.
#[derive(Debug)]
pub(crate) struct Poller {
    poll: Poll,
    events: Events,
    timer: timer::Timer,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let timer = timer::Timer::register(&poll)?;
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS),
            timer,
        })
    }

    /// Reports `source` under `token` whenever it becomes readable or writable.
    pub(crate) fn add(&self, source: &mut impl Source, token: usize) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(source, Token(token), both)
    }

    /// Waits for readiness, at most `timeout`. Events may name tokens that were never added.
    pub(crate) fn wait(&mut self, timeout: Duration) -> io::Result<Iter<'_>> {
        let timeout = if timeout < TOO_SHORT {
            Duration::ZERO
        } else if timeout < TICK {
            self.timer.arm(timeout)?;
            TICK
        } else {
            timeout
        };
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            other => other?,
        }
        Ok(self.events.iter())
    }
}

#[cfg(target_os = "linux")]
mod timer {
    use std::io;
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::time::Duration;

    use mio::unix::SourceFd;
    use mio::{Interest, Poll, Token};
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };

    /// Registered edge-triggered, so expiries need not be read.
    #[derive(Debug)]
    pub(super) struct Timer {
        descriptor: OwnedFd,
    }

    impl Timer {
        pub(super) fn register(poll: &Poll) -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let descriptor = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            let raw = descriptor.as_raw_fd();
            let token = Token(usize::MAX);
            poll.registry()
                .register(&mut SourceFd(&raw), token, Interest::READABLE)?;
            Ok(Self { descriptor })
        }

        pub(super) fn arm(&self, after: Duration) -> io::Result<()> {
            let once = Itimerspec {
                it_interval: Timespec::default(),
                it_value: Timespec {
                    tv_sec: 0,
                    tv_nsec: after.subsec_nanos().into(),
                },
            };
            timerfd_settime(&self.descriptor, TimerfdTimerFlags::empty(), &once)?;
            Ok(())
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod timer {
    use std::io;
    use std::time::Duration;

    use mio::Poll;

    #[derive(Debug)]
    pub(super) struct Timer;

    impl Timer {
        pub(super) fn register(_poll: &Poll) -> io::Result<Self> {
            Ok(Self)
        }

        pub(super) fn arm(&self, _after: Duration) -> io::Result<()> {
            Ok(())
        }
    }
}
