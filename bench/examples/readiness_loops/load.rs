//! The load: plain blocking sockets, in lockstep with the server, every answer
//! checked.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::shard::{ECHO, FRAME, Frame, PUBLISH, QUIT};

/// Largest batch that [`Load::fan_out`] takes.
const MAX_BATCH: usize = 16;

/// Open connections to one server.
pub(crate) struct Load {
    sockets: Vec<TcpStream>,
    sequence: u64,
}

impl Load {
    pub(crate) fn new() -> Self {
        Self {
            sockets: Vec::new(),
            sequence: 0,
        }
    }

    /// Opens `count` more connections. Each echoes one frame, so afterwards the
    /// server has accepted and used them all.
    pub(crate) fn connect(&mut self, address: SocketAddr, count: usize) -> io::Result<()> {
        for _ in 0..count {
            let mut socket = TcpStream::connect(address)?;
            socket.set_nodelay(true)?;
            self.sequence += 1;
            let frame = frame(ECHO, self.sequence);
            socket.write_all(&frame)?;
            expect(&mut socket, &[frame])?;
            self.sockets.push(socket);
        }
        Ok(())
    }

    /// The first connection publishes `rounds` times `batch` frames, a batch in
    /// one write; a round ends when every other connection has the batch.
    pub(crate) fn fan_out(&mut self, rounds: u32, batch: usize) -> io::Result<()> {
        let Some((publisher, members)) = self.sockets.split_first_mut() else {
            return Ok(());
        };
        for _ in 0..rounds {
            let frames: Vec<Frame> = (0..batch.min(MAX_BATCH))
                .map(|_| {
                    self.sequence += 1;
                    frame(PUBLISH, self.sequence)
                })
                .collect();
            publisher.write_all(frames.as_flattened())?;
            for member in &mut *members {
                expect(member, &frames)?;
            }
        }
        Ok(())
    }

    /// Every connection sends a frame, then every answer is read; `rounds` times.
    pub(crate) fn echo_burst(&mut self, rounds: u32) -> io::Result<()> {
        for _ in 0..rounds {
            self.sequence += 1;
            let frame = frame(ECHO, self.sequence);
            for socket in &mut self.sockets {
                socket.write_all(&frame)?;
            }
            for socket in &mut self.sockets {
                expect(socket, &[frame])?;
            }
        }
        Ok(())
    }

    /// One connection at a time sends a frame and reads its answer, so each
    /// costs the server a wake-up of its own; `rounds` times around.
    pub(crate) fn echo_singly(&mut self, rounds: u32) -> io::Result<()> {
        for _ in 0..rounds {
            self.sequence += 1;
            let frame = frame(ECHO, self.sequence);
            for socket in &mut self.sockets {
                socket.write_all(&frame)?;
                expect(socket, &[frame])?;
            }
        }
        Ok(())
    }

    /// Ends the server, then closes all connections.
    pub(crate) fn quit(mut self) -> io::Result<()> {
        match self.sockets.first_mut() {
            Some(socket) => socket.write_all(&frame(QUIT, 0)),
            None => Ok(()),
        }
    }
}

fn frame(kind: u8, sequence: u64) -> Frame {
    let mut frame = [b'.'; FRAME];
    frame[0] = kind;
    frame[1..9].copy_from_slice(&sequence.to_be_bytes());
    frame
}

fn expect(socket: &mut TcpStream, frames: &[Frame]) -> io::Result<()> {
    let mut buffer = [0; FRAME * MAX_BATCH];
    let answer = &mut buffer[..size_of_val(frames)];
    socket.read_exact(answer)?;
    if answer == frames.as_flattened() {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "a wrong answer"))
    }
}
