//! One HTTP/1.1 keep-alive connection that publishes to a group through the REST API, one request
//! at a time (protocol notes: REST, send to a group).

use crate::failure::{Cause, Stage};
use crate::http;
use crate::ledger::Ledger;
use crate::socket::Socket;
use crate::stamp;
use crate::target::{RestTokens, Target};

/// A connection opened anew this often without one response means that none will come.
const MAX_FRUITLESS_DIALS: u32 = 3;

/// The requests of one connection.
#[derive(Debug)]
pub(crate) struct RestPlan {
    /// Everything before the token.
    head: String,
    /// Everything after the token; the stamp begins at `stamp_at`.
    tail: Vec<u8>,
    stamp_at: usize,
    tokens: RestTokens,
}

/// A REST connection.
#[derive(Debug)]
pub(crate) struct Rest {
    pub(crate) socket: Socket,
    pub(crate) stage: Stage,
    plan: Box<RestPlan>,
    /// When the request that waits for its response was sent.
    waiting_since: Option<u64>,
    fruitless_dials: u32,
    /// The server announced that it closes after the response.
    closing: bool,
}

impl RestPlan {
    /// Text of `size` bytes to `group`.
    pub(crate) fn new(
        target: &Target,
        group: &str,
        sender: u32,
        size: usize,
        tokens: RestTokens,
    ) -> Self {
        let text = stamp::text(size, stamp::Stamp { time: 0, sender });
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
             Authorization: Bearer ",
            target.send_to_group_path(group),
            target.authority(),
            text.len()
        );
        let tail = format!("\r\n\r\n{text}").into_bytes();
        Self {
            head,
            stamp_at: tail.len() - text.len(),
            tail,
            tokens,
        }
    }
}

impl Rest {
    /// A connection whose socket has just begun to connect.
    pub(crate) fn new(socket: Socket, plan: Box<RestPlan>) -> Self {
        Self {
            socket,
            stage: Stage::Dialing,
            plan,
            waiting_since: None,
            fruitless_dials: 0,
            closing: false,
        }
    }

    /// Whether a request can be sent.
    pub(crate) fn is_idle(&self) -> bool {
        self.stage == Stage::Ready && self.waiting_since.is_none()
    }

    /// Sends one request, stamped with the time it is sent.
    pub(crate) fn publish(&mut self, now: u64) -> Result<(), Cause> {
        stamp::set_time(&mut self.plan.tail[self.plan.stamp_at..], now);
        let out = self.socket.outgoing();
        out.extend_from_slice(self.plan.head.as_bytes());
        out.extend_from_slice(self.plan.tokens.next().as_bytes());
        out.extend_from_slice(&self.plan.tail);
        self.waiting_since = Some(now);
        Ok(self.socket.flush()?)
    }

    /// Whether a connection that ended may be opened again: servers and proxies close an HTTP
    /// connection between requests as they like, and one request may have met that close.
    pub(crate) fn may_redial(&self, cause: &Cause) -> bool {
        let ended = matches!(cause, Cause::Ended | Cause::Io(_));
        ended && self.stage != Stage::Dialing && self.fruitless_dials < MAX_FRUITLESS_DIALS
    }

    /// Continues on a new socket that has just begun to connect. A request without a response is
    /// forgotten.
    pub(crate) fn redialed(&mut self, socket: Socket) {
        self.socket = socket;
        self.stage = Stage::Dialing;
        self.waiting_since = None;
        self.fruitless_dials += 1;
        self.closing = false;
    }

    /// The socket can take bytes, or its connect has ended.
    pub(crate) fn on_writable(&mut self) -> Result<(), Cause> {
        if self.stage == Stage::Dialing && self.socket.connected()? {
            self.stage = Stage::Ready;
        }
        Ok(self.socket.flush()?)
    }

    /// The socket has bytes, or its end (`read_closed`).
    pub(crate) fn on_readable(
        &mut self,
        read_closed: bool,
        scratch: &mut Vec<u8>,
        ledger: &mut Ledger,
    ) -> Result<(), Cause> {
        if self.stage == Stage::Dialing {
            return Ok(());
        }
        while let Some(arrival) = self.socket.read(scratch)? {
            if arrival.fresh == 0 {
                return Err(if self.fruitless_dials < MAX_FRUITLESS_DIALS {
                    Cause::Ended
                } else {
                    Cause::NoAnswer(self.fruitless_dials)
                });
            }
            ledger.now = ledger.clock.now();
            let bytes = &scratch[..arrival.available];
            let used = self.consume(bytes, ledger)?;
            self.socket.keep(&bytes[used..]);
            if self.closing {
                return Err(Cause::Ended);
            }
            if cfg!(unix) && !arrival.more && !read_closed {
                break;
            }
        }
        Ok(())
    }

    fn consume(&mut self, bytes: &[u8], ledger: &mut Ledger) -> Result<usize, Cause> {
        let Some(head) = http::read(bytes)? else {
            return Ok(0);
        };
        if !(200..300).contains(&head.status) {
            return Err(head.refusal(&bytes[head.size..]));
        }
        if head.chunked {
            return Err(Cause::Chunked);
        }
        let size = head.size.saturating_add(head.content_length);
        if bytes.len() < size {
            return Ok(0);
        }
        let Some(sent) = self.waiting_since.take() else {
            return Err(Cause::Unexpected("a response without a request".to_owned()));
        };
        ledger.counters.responses += 1;
        ledger.response.record(ledger.now.saturating_sub(sent));
        self.fruitless_dials = 0;
        self.closing = head.close;
        Ok(size)
    }
}
