//! A small HTTP client that also sends what no good client would.

use std::io::{Read, Write};

use super::{Server, Token};

/// A request; what it holds is sent as it is.
#[derive(Clone)]
pub(crate) struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    chunked: bool,
}

impl Request {
    pub(crate) fn new(method: &str, path: &str) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            body: None,
            chunked: false,
        }
    }

    /// A well-formed upgrade.
    pub(crate) fn upgrade(path: &str) -> Self {
        Self::new("GET", path)
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Leaves out a header that was set.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// With a token for this very path, query included, as the vendor's libraries do.
    pub(crate) fn authorized(self, server: &Server) -> Self {
        let audience = format!("http://{}{}", server.authority(), self.path);
        self.bearer(&Token::new(&audience).sign())
    }

    pub(crate) fn body(mut self, content_type: &str, body: impl AsRef<[u8]>) -> Self {
        self.body = Some(body.as_ref().to_vec());
        if content_type.is_empty() {
            self
        } else {
            self.header("Content-Type", content_type)
        }
    }

    /// Sends the body in chunks, without saying how long it is.
    pub(crate) fn chunked(mut self) -> Self {
        self.chunked = true;
        self
    }

    /// Sends the request and reads the response to its end.
    pub(crate) fn send(&self, stream: &mut (impl Read + Write), host: &str) -> Response {
        // A peer that refuses early may not read everything.
        let _ = stream.write_all(&self.bytes(host));
        Response::read(stream, self.method == "HEAD")
    }

    /// Sends the request and gives the status, or nothing if the connection ends before.
    pub(crate) fn try_send(&self, stream: &mut (impl Read + Write), host: &str) -> Option<u16> {
        stream.write_all(&self.bytes(host)).ok()?;
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        Some(Response::read(&mut byte.chain(stream), false).status)
    }

    /// The request as bytes.
    pub(crate) fn bytes(&self, host: &str) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        if !self.headers.iter().any(|(name, _)| name == "Host") {
            head.push_str(&format!("Host: {host}\r\n"));
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let body = self.body.as_deref();
        match body {
            Some(_) if self.chunked => head.push_str("Transfer-Encoding: chunked\r\n"),
            Some(body) => head.push_str(&format!("Content-Length: {}\r\n", body.len())),
            None => {}
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        match body {
            Some(body) if self.chunked => {
                for chunk in body.chunks(10_000) {
                    bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    bytes.extend_from_slice(chunk);
                    bytes.extend_from_slice(b"\r\n");
                }
                bytes.extend_from_slice(b"0\r\n\r\n");
            }
            Some(body) => bytes.extend_from_slice(body),
            None => {}
        }
        bytes
    }
}

/// A response.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Response {
    /// Reads one response.
    pub(crate) fn read(stream: &mut impl Read, to_head: bool) -> Self {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                end => panic!("{end:?} after {:?}", String::from_utf8_lossy(&head)),
            }
        }
        let head = String::from_utf8(head).unwrap();
        let (status_line, lines) = head.split_once("\r\n").unwrap();
        let headers = lines
            .lines()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let status = status_line.split(' ').nth(1).unwrap().parse().unwrap();
        let mut response = Self {
            status,
            headers,
            body: Vec::new(),
        };
        if !to_head && status != 101 && status != 204 {
            let length = response
                .header("content-length")
                .expect("every response has a length");
            response.body = vec![0; length.parse().unwrap()];
            stream.read_exact(&mut response.body).unwrap();
        }
        response
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The `code` of an error, which body and header agree on.
    pub(crate) fn code(&self) -> String {
        let code = self.json()["code"].as_str().unwrap().to_owned();
        assert_eq!(self.header("x-ms-error-code"), Some(code.as_str()));
        code
    }
}
