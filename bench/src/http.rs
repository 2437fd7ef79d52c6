//! Heads of HTTP/1.1 responses: the answer to an upgrade, the answers of the REST API.

use crate::failure::Cause;

/// A response's head is refused beyond this.
const MAX_HEAD: usize = 64 << 10;
const MAX_HEADERS: usize = 64;
/// How much of a refusal's body an error message shows.
const SHOWN_BODY: usize = 300;

/// What matters of a response's head.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    pub(crate) status: u16,
    pub(crate) reason: &'a str,
    /// Bytes of the head, its empty line included.
    pub(crate) size: usize,
    pub(crate) content_length: usize,
    pub(crate) chunked: bool,
    /// The server closes the connection after this response.
    pub(crate) close: bool,
    /// `Sec-WebSocket-Accept`.
    pub(crate) accept: Option<&'a str>,
    /// `Sec-WebSocket-Protocol`.
    pub(crate) subprotocol: Option<&'a str>,
}

/// The head at the start of `bytes`, or `None` while part of it is missing.
pub(crate) fn read(bytes: &[u8]) -> Result<Option<Head<'_>>, Cause> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let size = match response.parse(bytes) {
        Ok(httparse::Status::Complete(size)) => size,
        Ok(httparse::Status::Partial) if bytes.len() > MAX_HEAD => {
            return Err(Cause::NotHttp("its head does not end".to_owned()));
        }
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(Cause::NotHttp(error.to_string())),
    };
    let mut head = Head {
        status: response.code.unwrap_or_default(),
        reason: response.reason.unwrap_or_default(),
        size,
        content_length: 0,
        chunked: false,
        close: response.version == Some(0),
        accept: None,
        subprotocol: None,
    };
    for header in response.headers.iter() {
        let Ok(value) = std::str::from_utf8(header.value).map(str::trim) else {
            continue;
        };
        match header.name.to_ascii_lowercase().as_str() {
            "content-length" => {
                head.content_length = value
                    .parse()
                    .map_err(|_| Cause::NotHttp(format!("Content-Length: {value}")))?;
            }
            "transfer-encoding" => head.chunked = true,
            "connection" => head.close |= value.eq_ignore_ascii_case("close"),
            "sec-websocket-accept" => head.accept = Some(value),
            "sec-websocket-protocol" => head.subprotocol = Some(value),
            _ => {}
        }
    }
    Ok(Some(head))
}

impl Head<'_> {
    /// This response as the reason of a failure; `after` is what follows the head.
    pub(crate) fn refusal(&self, after: &[u8]) -> Cause {
        let shown = &after[..after.len().min(SHOWN_BODY)];
        Cause::Status {
            status: self.status,
            reason: self.reason.to_owned(),
            body: String::from_utf8_lossy(shown).trim().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_only_when_it_is_whole() {
        let bytes = b"HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\nCONNECTION: Close\r\n\r\nhello";
        let head_size = bytes.len() - 5;
        for cut in 0..head_size {
            assert_eq!(read(&bytes[..cut]).expect("no error"), None, "{cut}");
        }
        let head = read(bytes).expect("valid").expect("whole");
        assert_eq!((head.status, head.reason), (202, "Accepted"));
        assert_eq!((head.size, head.content_length), (head_size, 5));
        assert!(head.close && !head.chunked);
    }

    #[test]
    fn what_is_no_response_is_an_error() {
        for bytes in [
            b"SSH-2.0-OpenSSH\r\n\r\n".to_vec(),
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n".to_vec(),
            [b"HTTP/1.1 200 OK\r\nA: ".to_vec(), vec![b'x'; MAX_HEAD]].concat(),
        ] {
            assert!(matches!(read(&bytes), Err(Cause::NotHttp(_))));
        }
    }
}
