//! Certificates of one's own, exchanged while clients are connected; and what is wrong with them.

use std::path::Path;

use rustls::pki_types::CertificateDer;

use super::{data_of, member_token, publish};
use crate::support::raw::{FIN, TEXT, frame};
use crate::support::secure::{Secure, Trust};
use crate::support::{PRIMARY_KEY, Raw, Server, eventually};

/// A certificate for `localhost` and its key, in files of a directory.
struct Pair {
    certificate: String,
    key: String,
    der: CertificateDer<'static>,
}

impl Pair {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        Self {
            certificate: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
            der: made.cert.into(),
        }
    }

    fn write(&self, directory: &Path) {
        std::fs::write(directory.join("cert.pem"), &self.certificate).unwrap();
        std::fs::write(directory.join("key.pem"), &self.key).unwrap();
    }

    fn trust(&self) -> Trust {
        Trust::only(self.certificate.as_bytes())
    }

    fn is_shown_to(&self, client: &Raw<Secure>) -> bool {
        client.0.conn.peer_certificates() == Some(std::slice::from_ref(&self.der))
    }
}

/// Has the configuration read again; `result` is what must come of it.
fn reload(server: &Server, result: &str) {
    let before = server.reloads(result);
    server.hang_up();
    eventually("the configuration is read", || {
        (server.reloads(result) == before + 1).then_some(())
    });
}

/// The configuration of a server with the pair that is in `directory`.
fn settings(directory: &Path) -> String {
    format!(
        "[tls]\ncertificate = \"{0}/cert.pem\"\nkey = \"{0}/key.pem\"\n",
        directory.display()
    )
}

#[test]
fn a_new_certificate_is_for_new_connections_and_the_old_ones_stay() {
    for shards in [1, 4] {
        let directory = tempfile::tempdir().unwrap();
        let (first, second) = (Pair::new(), Pair::new());
        first.write(directory.path());
        let server = Server::start(shards, &settings(directory.path()));
        let token = member_token(&server);
        let mut old = first.trust().json(&server, &token);
        assert!(first.is_shown_to(&old));

        second.write(directory.path());
        reload(&server, "applied");
        let mut new = second.trust().json(&server, &token);
        assert!(second.is_shown_to(&new));
        assert!(first.trust().shake_hands(server.dial()).is_err());

        // What cannot be used changes nothing, not even a key that could be taken.
        server.edit(PRIMARY_KEY, "a-key-that-must-not-come-into-force-yet");
        for (certificate, key, problem) in [
            (&first.certificate, &second.key, "tls.key: "),
            (&String::new(), &second.key, "tls.certificate: "),
            (&second.certificate, &String::new(), "tls.key: "),
        ] {
            std::fs::write(directory.path().join("cert.pem"), certificate).unwrap();
            std::fs::write(directory.path().join("key.pem"), key).unwrap();
            let before = server.log().len();
            reload(&server, "refused");
            eventually("the log says why", || {
                server.log()[before..].contains(problem).then_some(())
            });
            drop(second.trust().json(&server, &token));
        }

        for client in [&mut old, &mut new] {
            client.send(&frame(FIN | TEXT, &publish("through all of it")));
        }
        for client in [&mut old, &mut new] {
            for _ in 0..2 {
                assert_eq!(data_of(&client.text()), "through all of it");
            }
        }
    }
}

#[test]
fn the_log_says_whether_the_certificate_is_another() {
    let directory = tempfile::tempdir().unwrap();
    let pair = Pair::new();
    pair.write(directory.path());
    let server = Server::start(1, &settings(directory.path()));
    let check = |changed: &str| {
        let before = server.log().len();
        reload(&server, "applied");
        let expected = format!("configuration reloaded changed=\"{changed}\"");
        eventually(&expected, || {
            server.log()[before..].contains(&expected).then_some(())
        });
    };
    check("nothing");
    Pair::new().write(directory.path());
    check("tls");
    check("nothing");
    let elsewhere = tempfile::tempdir().unwrap();
    for name in ["cert.pem", "key.pem"] {
        std::fs::copy(directory.path().join(name), elsewhere.path().join(name)).unwrap();
        let path = |folder: &Path| folder.join(name).display().to_string();
        server.edit(&path(directory.path()), &path(elsewhere.path()));
    }
    check("tls");
    pair.write(elsewhere.path());
    server.edit("\"trace\"", "\"debug\"");
    check("log.level, tls");
}
