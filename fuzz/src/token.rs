//! Tokens, as clients and app servers present them.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use hubwire_proto::connection_string::Endpoint;
use hubwire_proto::reconnection;
use hubwire_proto::token::audience::{Authorities, accepts_client, accepts_rest};
use hubwire_proto::token::{AccessKey, DEFAULT_SKEW, UnixSeconds, verify};
use sha2::Sha256;

const SECRET: &str = "fuzzing";
const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

static KEY: LazyLock<AccessKey> = LazyLock::new(|| AccessKey::new(SECRET).expect("not empty"));
static MAC: LazyLock<Hmac<Sha256>> =
    LazyLock::new(|| Hmac::new_from_slice(SECRET.as_bytes()).expect("a key of any length"));
static ENDPOINTS: LazyLock<[Endpoint; 1]> =
    LazyLock::new(|| [Endpoint::parse("http://h/base").expect("an endpoint")]);

/// No text panics the token reader, and none that we did not sign is believed. So that the claims
/// are reached too, the input is also signed as a payload.
pub fn token_verify(input: &[u8]) {
    let Ok(input) = std::str::from_utf8(input) else {
        return;
    };
    assert!(verify(input, &[&KEY], NOW, DEFAULT_SKEW).is_err());
    assert!(reconnection::verify(&KEY, input, "c", "h", NOW, DEFAULT_SKEW).is_err());

    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#);
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(input));
    let tag = URL_SAFE_NO_PAD.encode(
        MAC.clone()
            .chain_update(signed.as_bytes())
            .finalize()
            .into_bytes(),
    );
    if let Ok(claims) = verify(&format!("{signed}.{tag}"), &[&KEY], NOW, DEFAULT_SKEW) {
        assert_eq!(claims.payload, input);
        let _ = claims.check_groups();
        let authorities = Authorities::new(Some("h"), &*ENDPOINTS);
        let _ = accepts_client(&claims.audiences, "chat", &authorities);
        let _ = accepts_rest(&claims.audiences, "/api/hubs/chat/:send", &authorities);
    }
}
