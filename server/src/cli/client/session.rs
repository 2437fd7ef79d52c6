//! A session: commands go out, messages come in, until there is nothing left to do.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IsTerminal};
use std::time::Duration;

use anyhow::{Context as _, bail};
use hubwire_proto::ws::Opcode;
use tokio::sync::mpsc::{self, OwnedPermit};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::command::{Command, HELP};
use super::input::{self, Line};
use super::message::{Message, Request};
use super::output::Output;
use super::timers::{Due, Timers};
use crate::remote::{Incoming, WebSocket, WebSocketError, frame, printable};
use crate::signals::StopRequests;

/// Requests that may wait for their acknowledgement; then no further command is read.
const MAX_PENDING: usize = 64;
/// What a person at a terminal is told.
const HINT: &str = "help lists the commands";
const SIMPLE_HINT: &str = "every line is a message; the end of the input leaves";
/// How long the server may take to answer our close frame: it may have much to do before that.
const GOODBYE: Duration = Duration::from_secs(60);
/// How long it may be silent meanwhile.
const GOODBYE_SILENCE: Duration = Duration::from_secs(10);
/// How long it may take in all once somebody wants the session to stop.
const STOP: Duration = Duration::from_secs(2);
/// How long the last frames may take.
const LAST_FRAMES: Duration = Duration::from_secs(5);
/// Close code 1000 (RFC 6455 §7.4.1), as it stands in a close frame.
const NORMAL_CLOSURE: [u8; 2] = 1000_u16.to_be_bytes();

/// What a session is for.
#[derive(Debug)]
pub(super) struct Plan {
    /// A simple client: every line is a message.
    pub(super) simple: bool,
    /// To do before any input is read.
    pub(super) first: Vec<Command>,
    /// Leave after so many messages.
    pub(super) count: Option<u64>,
    /// Stay when everything is done.
    pub(super) watch: bool,
    /// When to leave.
    pub(super) leave: Option<Instant>,
    /// When to be gone, even if the server does not take part in closing.
    pub(super) end: Option<Instant>,
    /// Whether commands are read from standard input.
    pub(super) input: bool,
}

pub(super) struct Session {
    socket: WebSocket,
    outgoing: mpsc::Sender<Vec<u8>>,
    output: Output,
    simple: bool,
    count: Option<u64>,
    watch: bool,
    /// A person at a terminal sees what fails; a script has to be told at the end.
    at_terminal: bool,
    first: VecDeque<Command>,
    /// `None` once it has ended.
    input: Option<mpsc::Receiver<Line>>,
    timers: Timers,
    /// When it is over, whatever is missing.
    end: Option<Instant>,
    greeted: bool,
    last_ack_id: u64,
    /// Requests that are not acknowledged yet, by their ack id.
    pending: BTreeMap<u64, String>,
    received: u64,
    failed: u64,
    /// Whoever read the output is gone.
    unread: bool,
    /// What the server said before closing.
    goodbye: Option<String>,
}

/// What happens next.
enum Turn {
    Incoming(Result<Incoming, WebSocketError>),
    Do(OwnedPermit<Vec<u8>>, Step),
    Stop,
    Time,
}

/// The next thing to do.
enum Step {
    Command(Command),
    Line(Line),
    EndOfInput,
}

/// Why a session goes no further.
enum End {
    /// Say goodbye.
    Leave,
    /// The same, and be quick about it.
    Stop,
    /// The other side has said goodbye, or nothing more can be said.
    Over(anyhow::Error),
}

impl Session {
    pub(super) fn new(socket: WebSocket, plan: Plan, output: Output) -> Self {
        let at_terminal = plan.input && io::stdin().is_terminal();
        Self {
            outgoing: socket.outgoing(),
            socket,
            output,
            simple: plan.simple,
            count: plan.count,
            watch: plan.watch,
            at_terminal,
            first: plan.first.into(),
            input: plan.input.then(input::lines),
            timers: Timers::new(Instant::now(), plan.leave, plan.simple),
            end: plan.end,
            greeted: plan.simple,
            last_ack_id: 0,
            pending: BTreeMap::new(),
            received: 0,
            failed: 0,
            unread: false,
            goodbye: None,
        }
    }

    /// Does everything that is asked for, then leaves.
    ///
    /// # Errors
    ///
    /// If something could not be done, or the server ends the session.
    pub(super) async fn run(mut self) -> anyhow::Result<()> {
        let mut stop = StopRequests::watch().context("cannot handle signals")?;
        if self.at_terminal {
            eprintln!("{}", if self.simple { SIMPLE_HINT } else { HINT });
        }
        let end = loop {
            if self.is_done() {
                break End::Leave;
            }
            let turn = self.turn(&mut stop).await;
            if let Err(end) = self.take(turn) {
                break end;
            }
        };
        let patience = match end {
            End::Leave => GOODBYE,
            End::Stop => STOP,
            End::Over(_) => LAST_FRAMES,
        };
        let until = self.end_within(patience);
        let result = match end {
            End::Leave | End::Stop => self
                .leave(&mut stop, until)
                .await
                .and_then(|()| self.verdict()),
            End::Over(error) => Err(error),
        };
        let until = self.end_within(LAST_FRAMES);
        let Self {
            socket, outgoing, ..
        } = self;
        drop(outgoing);
        socket.finish(until).await;
        result
    }

    /// Has the session end after `time` at the latest, and says when that is.
    fn end_within(&mut self, time: Duration) -> Instant {
        let until = Instant::now() + time;
        let until = self.end.map_or(until, |end| end.min(until));
        self.end = Some(until);
        until
    }

    fn is_done(&self) -> bool {
        if self.unread {
            return true;
        }
        let asked_all = self.first.is_empty() && self.pending.is_empty() && self.greeted;
        match self.count {
            Some(_) => asked_all && self.has_enough(),
            None => asked_all && self.input.is_none() && !self.watch,
        }
    }

    /// No more messages are wanted; what comes all the same is not printed.
    fn has_enough(&self) -> bool {
        self.count.is_some_and(|count| self.received >= count)
    }

    async fn turn(&mut self, stop: &mut StopRequests) -> Turn {
        let has_work = !self.first.is_empty() || self.input.is_some();
        let may_ask = self.greeted && self.pending.len() < MAX_PENDING;
        let outgoing = self.outgoing.clone();
        tokio::select! {
            incoming = self.socket.next() => Turn::Incoming(incoming),
            (permit, step) = next_step(outgoing, &mut self.first, &mut self.input),
                if has_work && may_ask => Turn::Do(permit, step),
            () = stop.next() => Turn::Stop,
            () = sleep_until(self.timers.next()) => Turn::Time,
        }
    }

    fn take(&mut self, turn: Turn) -> Result<(), End> {
        match turn {
            Turn::Incoming(incoming) => {
                let incoming = incoming.map_err(|error| End::Over(self.ended(&error)))?;
                self.timers.heard(Instant::now());
                self.receive(incoming)?;
            }
            Turn::Do(permit, step) => self.perform(permit, step)?,
            Turn::Stop => return Err(End::Stop),
            Turn::Time => match self.timers.due(Instant::now()) {
                Some(Due::End) => return Err(End::Leave),
                Some(Due::Fail(problem)) => return Err(End::Over(anyhow::Error::msg(problem))),
                Some(Due::Ping) => {
                    let ping = frame(Opcode::Ping, b"").map_err(|error| End::Over(error.into()))?;
                    // While the queue is full, there is enough to answer.
                    let _ = self.outgoing.try_send(ping);
                }
                None => {}
            },
        }
        let only_acks = self.first.is_empty() && self.input.is_none() && !self.pending.is_empty();
        if !only_acks {
            self.timers.await_more();
        }
        Ok(())
    }

    fn perform(&mut self, permit: OwnedPermit<Vec<u8>>, step: Step) -> Result<(), End> {
        let command = match step {
            Step::Command(command) => command,
            Step::EndOfInput => {
                self.end_input();
                return Ok(());
            }
            Step::Line(Err(problem)) => return Err(End::Over(anyhow::Error::msg(problem))),
            Step::Line(Ok(line)) if self.simple => Command::Bare(line),
            Step::Line(Ok(line)) => match Command::parse(&line) {
                Ok(Some(command)) => command,
                Ok(None) => return Ok(()),
                Err(problem) => {
                    self.failed += 1;
                    eprintln!("{}", printable(&problem));
                    return Ok(());
                }
            },
        };
        match &command {
            Command::Help => eprintln!("{HELP}"),
            Command::Quit => {
                (self.count, self.watch) = (None, false);
                self.end_input();
            }
            Command::Bare(text) => self.send(permit, text)?,
            Command::Join(_) | Command::Leave(_) | Command::Send(..) | Command::Event(..) => {
                if let Some(request) = Request::new(&command, self.last_ack_id + 1) {
                    self.last_ack_id += 1;
                    self.send(permit, &request.text)?;
                    self.pending.insert(self.last_ack_id, request.name);
                    self.timers.await_acks(Instant::now());
                }
            }
        }
        Ok(())
    }

    fn end_input(&mut self) {
        self.input = None;
        self.timers.await_acks(Instant::now());
    }

    fn send(&self, permit: OwnedPermit<Vec<u8>>, text: &str) -> Result<(), End> {
        let frame =
            frame(Opcode::Text, text.as_bytes()).map_err(|error| End::Over(error.into()))?;
        permit.send(frame);
        Ok(())
    }

    fn receive(&mut self, incoming: Incoming) -> Result<(), End> {
        let printed = match incoming {
            Incoming::Sign => Ok(()),
            Incoming::Close(close) => {
                let payload = close.as_ref().map(|(code, _)| code.to_be_bytes());
                let echo = frame(Opcode::Close, payload.as_ref().map_or(&[], |code| code));
                if let Ok(echo) = echo {
                    let _ = self.outgoing.try_send(echo);
                }
                return Err(End::Over(self.closed(close)));
            }
            Incoming::Text(text) if !self.simple => self.receive_message(&text),
            Incoming::Text(_) | Incoming::Binary(_) if self.has_enough() => Ok(()),
            Incoming::Text(text) => {
                self.received += 1;
                self.output.text(&text)
            }
            Incoming::Binary(bytes) => {
                self.received += 1;
                self.output.binary(&bytes)
            }
        };
        // Nobody reads what comes: the usual end of a pipe, and nothing to complain about.
        match printed {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.unread = true;
                Ok(())
            }
            printed => printed.map_err(|error| End::Over(error.into())),
        }
    }

    fn receive_message(&mut self, text: &str) -> io::Result<()> {
        let message = Message::parse(text).unwrap_or(Message::Other);
        if matches!(message, Message::Data(_)) && self.has_enough() {
            return Ok(());
        }
        self.output.message(text, &message)?;
        match message {
            Message::Connected { .. } => {
                self.greeted = true;
                self.timers.greeted();
            }
            Message::Disconnected(reason) => self.goodbye = Some(reason),
            Message::Ack(id, outcome) => {
                let Some(request) = self.pending.remove(&id) else {
                    return Ok(());
                };
                self.failed += u64::from(outcome.is_err());
                self.timers.await_acks(Instant::now());
                self.output.ack(&request, &outcome)?;
            }
            Message::Data(_) => self.received += 1,
            Message::Other => {}
        }
        Ok(())
    }

    /// Closes, and prints what still comes until the server has closed too. A second request to
    /// stop ends it at once.
    async fn leave(&mut self, stop: &mut StopRequests, until: Instant) -> anyhow::Result<()> {
        let goodbye = async {
            let close = frame(Opcode::Close, &NORMAL_CLOSURE)?;
            // If the connection is broken, reading from it tells why.
            let _ = self.outgoing.send(close).await;
            loop {
                let next = timeout(GOODBYE_SILENCE, self.socket.next());
                match next.await.map_err(unanswered)?? {
                    Incoming::Close(_) => return anyhow::Ok(()),
                    incoming => match self.receive(incoming) {
                        Ok(()) => {}
                        Err(End::Over(error)) => return Err(error),
                        Err(End::Leave | End::Stop) => return Ok(()),
                    },
                }
            }
        };
        tokio::select! {
            result = timeout_at(until, goodbye) => return result.map_err(unanswered)?,
            () = stop.next() => {}
        }
        self.end_within(Duration::ZERO);
        Ok(())
    }

    /// Whether everything was done that was asked for.
    fn verdict(&self) -> anyhow::Result<()> {
        if self.unread {
            return Ok(());
        }
        if let Some(count) = self.count
            && self.received < count
        {
            bail!("{} of {count} messages have come", self.received);
        }
        if !self.pending.is_empty() {
            let names: Vec<_> = self.pending.values().map(String::as_str).collect();
            bail!("not acknowledged: {}", names.join(", "));
        }
        if !self.first.is_empty() {
            bail!("not everything was sent");
        }
        if self.failed > 0 && !self.at_terminal {
            bail!("{} of the commands failed", self.failed);
        }
        Ok(())
    }

    fn closed(&self, close: Option<(u16, String)>) -> anyhow::Error {
        let (code, reason) = close.unwrap_or_default();
        let reason = self.goodbye.as_deref().unwrap_or(&reason);
        let mut text = "the server closed the connection".to_owned();
        if code != 0 {
            text.push_str(&format!(" with code {code}"));
        }
        if !reason.is_empty() {
            text.push_str(&format!(": {}", printable(reason)));
        }
        anyhow::Error::msg(text)
    }

    fn ended(&self, error: &WebSocketError) -> anyhow::Error {
        match &self.goodbye {
            Some(goodbye) => anyhow::anyhow!("{error}: {goodbye}"),
            None => anyhow::anyhow!("{error}"),
        }
    }
}

fn unanswered(_: Elapsed) -> anyhow::Error {
    anyhow::Error::msg("the server did not answer the close frame")
}

/// The next command or line, once there is room to send what it asks for. Nothing is lost if the
/// future is dropped.
async fn next_step(
    outgoing: mpsc::Sender<Vec<u8>>,
    first: &mut VecDeque<Command>,
    input: &mut Option<mpsc::Receiver<Line>>,
) -> (OwnedPermit<Vec<u8>>, Step) {
    let Ok(permit) = outgoing.reserve_owned().await else {
        // The connection is broken, which whoever reads from it finds out with the reason.
        return std::future::pending().await;
    };
    let step = match (first.pop_front(), input) {
        (Some(command), _) => Step::Command(command),
        (None, Some(lines)) => match lines.recv().await {
            Some(line) => Step::Line(line),
            None => Step::EndOfInput,
        },
        (None, None) => std::future::pending().await,
    };
    (permit, step)
}
