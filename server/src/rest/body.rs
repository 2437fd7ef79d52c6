//! Bodies of requests: content type, size, character set, JSON (protocol notes: sends, bulk).

use std::borrow::Cow;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hubwire_proto::json::{self, InvalidJson};
use hubwire_proto::message::DataType;
use hyper::HeaderMap;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_TYPE, EXPECT};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::error::RestError;

/// How long a body may take to arrive.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);
/// How long a body may wait for room. Short, as bodies that are there in part wait with it, and
/// those that give up make room for the others.
const ROOM_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the rest of a body that nobody wants is read.
pub(super) const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);

/// Bytes of it that are read; beyond them the connection is cut.
const DISCARD_BYTES: usize = 4 << 20;

/// Bytes that all bodies may hold together while they arrive.
pub(crate) const BYTES_AT_ONCE: usize = 64 << 20;
/// The unit in which room for bodies is counted.
const PAGE: usize = 1024;

/// A message as it is published.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) data_type: DataType,
    pub(super) payload: Vec<u8>,
}

/// The room that a body takes up.
pub(super) type Room<'a> = SemaphorePermit<'a>;

/// Reads bodies within bounds of each and of all together.
pub(super) struct Bodies {
    limit: usize,
    room: Semaphore,
}

impl Bodies {
    /// A reader of bodies of at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            room: Semaphore::new(pages(BYTES_AT_ONCE.max(limit))),
        }
    }

    /// Reads the message that a request carries. The room is to be kept until the message is on
    /// its way, so that requests that wait count too.
    pub(super) async fn message(
        &self,
        headers: &HeaderMap,
        body: &mut Incoming,
    ) -> Result<(Message, Room<'_>), RestError> {
        let form = Form::of(headers).ok_or_else(|| {
            RestError::unsupported_media_type(
                "The content type must be text/plain, application/json or \
                 application/octet-stream, with a known charset.",
            )
        })?;
        let (payload, room) = self.bytes(body).await?;
        Ok((form.message(payload)?, room))
    }

    /// Reads a body that must say that it is JSON, as a text. Whether it is any is the caller's
    /// question.
    pub(super) async fn json(
        &self,
        headers: &HeaderMap,
        body: &mut Incoming,
    ) -> Result<(String, Room<'_>), RestError> {
        let form = Form::of(headers)
            .filter(|form| form.data_type == DataType::Json)
            .ok_or_else(|| {
                RestError::unsupported_media_type(
                    "The content type must be application/json, with a known charset.",
                )
            })?;
        let (bytes, room) = self.bytes(body).await?;
        Ok((form.text(bytes)?, room))
    }

    async fn bytes(&self, body: &mut Incoming) -> Result<(Vec<u8>, Room<'_>), RestError> {
        let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if declared > self.limit {
            return Err(RestError::too_large(self.limit));
        }
        timeout(TIMEOUT, self.arriving(body, declared))
            .await
            .unwrap_or_else(|_| Err(RestError::body_timeout()))
    }

    /// Takes room for what has arrived, not for what was announced: callers that announce much and
    /// send nothing must not keep others waiting.
    async fn arriving(
        &self,
        body: &mut Incoming,
        declared: usize,
    ) -> Result<(Vec<u8>, Room<'_>), RestError> {
        let mut room = self.room(1).await?;
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| RestError::bad_body("The request body is broken."))?;
            // Trailers mean nothing here.
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if data.len() > self.limit - bytes.len() {
                return Err(RestError::too_large(self.limit));
            }
            let mut length = bytes.len() + data.len();
            // Half of it is word enough for the rest, and bodies that have all their room can't
            // hold up each other.
            if length >= declared / 2 {
                length = length.max(declared);
            }
            let more = pages(length).saturating_sub(room.num_permits());
            if more > 0 {
                room.merge(self.room(more).await?);
            }
            bytes.reserve(length - bytes.len());
            bytes.extend_from_slice(&data);
        }
        Ok((bytes, room))
    }

    async fn room(&self, pages: usize) -> Result<Room<'_>, RestError> {
        let pages = u32::try_from(pages).unwrap_or(u32::MAX);
        timeout(ROOM_TIMEOUT, self.room.acquire_many(pages))
            .await
            .ok()
            .and_then(Result::ok)
            .ok_or_else(|| RestError::unavailable(NO_ROOM))
    }
}

/// Reads and drops what is left of a body, within bounds, so that the peer gets to read the
/// response. A peer that waits for permission to send its body is not given any.
pub(super) async fn discard(mut body: Incoming, headers: &HeaderMap) {
    if body.is_end_stream() || headers.contains_key(EXPECT) {
        return;
    }
    let mut left = DISCARD_BYTES;
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            let read = frame.data_ref().map_or(0, |data| data.len());
            left = match left.checked_sub(read) {
                Some(left) => left,
                None => return,
            };
        }
    };
    let _ = timeout(DISCARD_TIMEOUT, reading).await;
}

fn pages(bytes: usize) -> usize {
    bytes.div_ceil(PAGE).max(1)
}

/// How the bytes of a body are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Form {
    data_type: DataType,
    charset: Charset,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Charset {
    Utf8,
    Ascii,
    Latin1,
    /// With the byte order that a mark tells, else this one.
    Utf16 {
        big_endian: bool,
    },
}

const NO_ROOM: &str = "The server has no room for the request body now.";
const INVALID_JSON: &str = "The request body is not a valid JSON.";
/// As for clients: receivers would choke on it.
const JSON_TOO_DEEP: &str = "The request body is nested too deeply.";

impl Form {
    /// Reads `Content-Type`. Without one the body is binary; `None` if it is nothing that is taken.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(CONTENT_TYPE).iter();
        match (lines.next(), lines.next()) {
            (None, _) => Some(Self {
                data_type: DataType::Binary,
                charset: Charset::Utf8,
            }),
            (Some(line), None) => Self::parse(line.to_str().ok()?),
            (Some(_), Some(_)) => None,
        }
    }

    fn parse(content_type: &str) -> Option<Self> {
        let mut parts = content_type.split(';').map(str::trim);
        let data_type = match parts.next()?.to_ascii_lowercase().as_str() {
            "text/plain" => DataType::Text,
            "application/json" => DataType::Json,
            "application/octet-stream" => {
                return Some(Self {
                    data_type: DataType::Binary,
                    charset: Charset::Utf8,
                });
            }
            _ => return None,
        };
        let charset = parts
            .filter_map(|parameter| parameter.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))
            .map_or(Some(Charset::Utf8), |(_, name)| {
                Charset::from_name(name.trim())
            })?;
        Some(Self { data_type, charset })
    }

    fn message(self, bytes: Vec<u8>) -> Result<Message, RestError> {
        let data_type = self.data_type;
        if data_type == DataType::Binary {
            return Ok(Message {
                data_type,
                payload: bytes,
            });
        }
        let text = self.text(bytes)?;
        if data_type == DataType::Json {
            // The bytes go on as they came, so nothing but their shape matters.
            json::check_value(text.as_bytes()).map_err(|problem| match problem {
                InvalidJson::Syntax => RestError::bad_body(INVALID_JSON),
                InvalidJson::Depth => RestError::bad_body(JSON_TOO_DEEP),
            })?;
        }
        Ok(Message {
            data_type,
            payload: text.into_bytes(),
        })
    }

    fn text(self, bytes: Vec<u8>) -> Result<String, RestError> {
        self.charset
            .decode(bytes)
            .ok_or_else(|| RestError::bad_body("The request body is not valid in its charset."))
    }
}

impl Charset {
    fn from_name(name: &str) -> Option<Self> {
        let name = name
            .strip_prefix('"')
            .and_then(|name| name.strip_suffix('"'))
            .unwrap_or(name);
        Some(match name.to_ascii_lowercase().as_str() {
            "utf-8" | "utf8" => Self::Utf8,
            "us-ascii" | "ascii" => Self::Ascii,
            "iso-8859-1" | "latin1" => Self::Latin1,
            "utf-16" | "utf-16le" => Self::Utf16 { big_endian: false },
            "utf-16be" => Self::Utf16 { big_endian: true },
            _ => return None,
        })
    }

    fn decode(self, bytes: Vec<u8>) -> Option<String> {
        match self {
            Self::Utf8 => String::from_utf8(bytes).ok(),
            Self::Ascii => bytes.is_ascii().then(|| String::from_utf8(bytes).ok())?,
            // Its characters are the first 256 of Unicode.
            Self::Latin1 => Some(bytes.into_iter().map(char::from).collect()),
            Self::Utf16 { big_endian } => {
                let (big_endian, bytes) = match bytes.as_slice() {
                    [0xFE, 0xFF, rest @ ..] => (true, Cow::Borrowed(rest)),
                    [0xFF, 0xFE, rest @ ..] => (false, Cow::Borrowed(rest)),
                    _ => (big_endian, Cow::Owned(bytes)),
                };
                let (units, rest) = bytes.as_chunks::<2>();
                let units = units.iter().map(|unit| match big_endian {
                    true => u16::from_be_bytes(*unit),
                    false => u16::from_le_bytes(*unit),
                });
                let text: Result<String, _> = char::decode_utf16(units).collect();
                text.ok().filter(|_| rest.is_empty())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(content_type: &str, bytes: &[u8], expect: Result<(DataType, &str), u16>) {
        let form = Form::parse(content_type).ok_or(415);
        let message = form.and_then(|form| {
            form.message(bytes.to_vec())
                .map_err(|error| error.status.as_u16())
        });
        let expect = expect.map(|(data_type, text)| Message {
            data_type,
            payload: text.as_bytes().to_vec(),
        });
        assert_eq!(message, expect, "{content_type}");
    }

    #[test]
    fn texts_become_utf8_whatever_they_were() {
        use DataType::{Binary, Json, Text};
        check("text/plain", "é".as_bytes(), Ok((Text, "é")));
        check("TEXT/Plain ; Charset=\"UTF-8\"", b"a", Ok((Text, "a")));
        check("text/plain; charset=iso-8859-1", b"\xE9", Ok((Text, "é")));
        check("text/plain; charset=us-ascii", b"\xE9", Err(400));
        check("text/plain; charset=utf-16", b"\xE9\0", Ok((Text, "é")));
        check(
            "text/plain; charset=utf-16",
            b"\xFE\xFF\0\xE9",
            Ok((Text, "é")),
        );
        check("text/plain; charset=utf-16be", b"\0\xE9", Ok((Text, "é")));
        check("text/plain; charset=utf-16", b"a\0b", Err(400));
        check("text/plain; charset=utf-16", b"\0\xD8", Err(400));
        check("text/plain; charset=klingon", b"a", Err(415));
        check("text/plain", b"\xFF", Err(400));
        check(
            "application/octet-stream; charset=klingon",
            b"a",
            Ok((Binary, "a")),
        );
        check(
            "application/json;charset=utf-16le",
            b"[\0]\0",
            Ok((Json, "[]")),
        );
    }

    #[test]
    fn json_is_one_value_kept_as_it_was_spelled() {
        let json = |text: &str, valid: bool| {
            let expect = if valid {
                Ok((DataType::Json, text))
            } else {
                Err(400)
            };
            check("application/json", text.as_bytes(), expect);
        };
        json(" {\"a\": 1.0e3, \"a\": [ ] }\n", true);
        json("\"text\"", true);
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        json(&nested(63), true);
        json(&nested(64), false);
        json(&nested(100_000), false);
        for wrong in [
            "",
            " ",
            "{",
            "[1,]",
            "1 2",
            "nul",
            "'a'",
            "\u{FEFF}1",
            "[1]//",
        ] {
            json(wrong, false);
        }
    }

    #[test]
    fn other_types_are_refused() {
        for content_type in [
            "text/html",
            "",
            "application/x-protobuf",
            "text/plain-ish",
            "json",
        ] {
            check(content_type, b"a", Err(415));
        }
    }
}
