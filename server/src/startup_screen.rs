//! What `hubwire` shows once it listens: where it is, how to reach it, three things to try.
//!
//! Secrets are shown only when they are public anyway; otherwise the command that prints them is.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hubwire_proto::connection_string::{ConnectionString, Endpoint};
use hubwire_proto::name::HubName;
use hubwire_proto::token::{DEFAULT_LIFETIME_MINUTES, NewToken, UnixSeconds, sign};

use crate::config::{Config, ConfigError, Origin, TlsConfig};

/// The file that `hubwire init` writes.
pub const DEFAULT_FILE: &str = "hubwire.toml";

/// What the screen tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The public address.
    pub endpoint: Endpoint,
    /// The admin listener, if it is on.
    pub admin: Option<SocketAddr>,
    /// The configuration file in use.
    pub file: Option<PathBuf>,
    /// How this program is called from where it was started.
    pub program: String,
    /// Options that lead other `hubwire` commands to this node; empty, or begins with a blank.
    pub options: String,
    /// Whether a [`DEFAULT_FILE`] lies in the working directory but is not in use.
    pub file_unused: bool,
    /// Connection string and client URL; `None` if the key is a secret.
    pub public: Option<PublicAccess>,
    /// Whether `builtin:echo` takes every event of hubs without settings of their own.
    pub echo: bool,
    /// The certification authority to trust, if it is of our own making.
    pub authority: Option<PathBuf>,
}

/// What may be shown with a key that everybody knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicAccess {
    /// For application servers.
    pub connection_string: String,
    /// For a client of hub `chat` that may join and send to every group.
    pub client_url: String,
}

impl Facts {
    /// The facts about a node that listens on `bound` and, if the admin listener is on, `admin`.
    ///
    /// # Errors
    ///
    /// If the configuration has no endpoint and `bound` has no port.
    pub fn new(
        config: &Config,
        bound: SocketAddr,
        admin: Option<SocketAddr>,
        now: UnixSeconds,
    ) -> Result<Self, ConfigError> {
        let endpoint = config.first_endpoint(bound.port())?;
        let public = if config.access_keys.is_development() {
            public(config, &endpoint, now)
        } else {
            None
        };
        Ok(Self {
            admin,
            file: config.file.clone(),
            program: program(),
            options: options(config, &endpoint),
            file_unused: config.file.is_none() && Path::new(DEFAULT_FILE).exists(),
            public,
            echo: config
                .hub_defaults
                .event_handlers
                .iter()
                .any(|h| h.user_event_pattern == "*"),
            authority: config
                .tls
                .as_ref()
                .and_then(TlsConfig::development_authority),
            endpoint,
        })
    }
}

/// The name alone if a shell would find it, else the path, the short one if there is one.
fn program() -> String {
    let Ok(path) = std::env::current_exe() else {
        return "hubwire".to_owned();
    };
    let is_here = |folder: PathBuf| {
        folder
            .join("hubwire")
            .canonicalize()
            .is_ok_and(|found| found == path)
    };
    let folders = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&folders).any(is_here) {
        return "hubwire".to_owned();
    }
    let folder = std::env::current_dir().unwrap_or_default();
    let short = path.strip_prefix(folder).unwrap_or(&path);
    shell_word(&short.display().to_string())
}

/// What another command cannot find out by itself: the file, and an address that is not in it.
fn options(config: &Config, endpoint: &Endpoint) -> String {
    let mut options = config
        .file
        .as_deref()
        .map(config_option)
        .unwrap_or_default();
    let of_our_own = config
        .tls
        .as_ref()
        .and_then(TlsConfig::development_authority);
    if of_our_own.is_some() {
        options.push_str(" --dev-tls");
    }
    let in_file = |origin: &Origin| matches!(origin, Origin::File { .. } | Origin::Default);
    let known = match config.endpoint.as_slice() {
        [] => in_file(&config.listen_origin) && config.listen.port() != 0,
        _ => in_file(&config.endpoint_origin),
    };
    if !known {
        options.push_str(&format!(
            " --endpoint {}",
            shell_word(&endpoint.to_string())
        ));
    }
    options
}

fn public(config: &Config, endpoint: &Endpoint, now: UnixSeconds) -> Option<PublicAccess> {
    let key = &config.access_keys.primary;
    let hub = HubName::new("chat").ok()?;
    let lifetime = Duration::from_secs(u64::from(DEFAULT_LIFETIME_MINUTES) * 60);
    let token = NewToken {
        audience: &endpoint.client_audience(&hub),
        issued_at: now,
        expires_at: now.plus(lifetime),
        subject: None,
        roles: &[
            "webpubsub.joinLeaveGroup".to_owned(),
            "webpubsub.sendToGroup".to_owned(),
        ],
        groups: &[],
    };
    let connection = ConnectionString {
        endpoint: endpoint.clone(),
        access_key: key.clone(),
    };
    Some(PublicAccess {
        connection_string: connection.expose()?,
        client_url: endpoint.client_url(&hub, &sign(&token, key)),
    })
}

/// The screen: at most 24 lines, at most 100 columns where no address makes a line longer.
#[must_use]
pub fn render(facts: &Facts) -> String {
    let Facts {
        endpoint,
        program,
        options,
        ..
    } = facts;
    let mut screen = Screen(String::new());
    screen.line(format_args!(
        "Hubwire {} is ready.\n",
        env!("CARGO_PKG_VERSION")
    ));
    screen.fact("Endpoint", endpoint);
    match &facts.public {
        Some(public) => {
            screen.fact("Connection string", &public.connection_string);
            screen.fact("Client URL", &public.client_url);
            screen.fact(
                "",
                "hub chat, may join and send to every group, good for 60 minutes",
            );
        }
        None => {
            screen.fact(
                "Connection string",
                format_args!("{program} connection-string{options}"),
            );
            screen.fact(
                "Client URL",
                format_args!("{program} token --hub chat{options}"),
            );
        }
    }
    if let Some(admin) = facts.admin {
        screen.fact("Metrics", format_args!("http://{admin}/metrics"));
    }
    match &facts.file {
        Some(file) => screen.fact("Configuration", file.display()),
        None => screen.fact(
            "Configuration",
            "no file: public development key, loopback only",
        ),
    }
    if facts.authority.is_some() {
        screen.fact(
            "Certificate",
            "by a CA of this machine's own, to be trusted as below",
        );
    }
    if facts.file_unused {
        screen.fact(
            "",
            format_args!("{DEFAULT_FILE} is not in use: add --config {DEFAULT_FILE}"),
        );
    }
    if facts.echo {
        screen.fact(
            "Events",
            "builtin:echo answers every event of every hub with its own data",
        );
    }

    let shown = if facts.public.is_some() {
        "the client URL above"
    } else {
        "a client URL"
    };
    screen.line("\nThree things to try:");
    screen.line(format_args!("  1. In a browser's console, with {shown}:"));
    screen.line(r#"       s = new WebSocket("CLIENT_URL"); s.onopen = () => s.send("hello")"#);
    screen.line("       s.onmessage = e => console.log(e.data)");
    screen.line("  2. Send to every client of hub chat over REST:");
    screen.line(format_args!(
        "       curl -d hello -H 'Content-Type: text/plain' {endpoint}/api/hubs/chat/:send \\"
    ));
    screen.line(format_args!(
        "       -H \"Authorization: Bearer $({program} token --rest /api/hubs/chat/:send{options})\""
    ));
    screen.line("  3. With Node 22 or newer, a client that speaks the json subprotocol:");
    screen
        .line(r#"       node -e 's = new WebSocket(process.argv[1], "json.webpubsub.azure.v1");"#);
    screen.line("         s.onmessage = e => console.log(e.data)' \\");
    screen.line(format_args!(
        "         \"$({program} token --hub chat{options})\""
    ));
    screen.0
}

/// How tools are told to trust a certification authority of our own; empty if there is none.
#[must_use]
pub fn render_trust(facts: &Facts) -> String {
    let Some(authority) = &facts.authority else {
        return String::new();
    };
    // A shell may be anywhere.
    let file = std::path::absolute(authority).unwrap_or_else(|_| authority.clone());
    let file = shell_word(&file.to_string_lossy());
    format!(
        "
Trust the development CA in a shell:
  CA={file}
  export NODE_EXTRA_CA_CERTS=$CA    # Node
  export SSL_CERT_FILE=$CA          # Python's ssl, .NET on Linux, Go, Ruby
  export REQUESTS_CA_BUNDLE=$CA     # Python's requests, so the vendor's libraries for REST
  export CURL_CA_BUNDLE=$CA         # curl
  keytool -importcert -noprompt -alias hubwire -file $CA -keystore dev.p12 -storepass changeit
  JAVA=-Djavax.net.ssl.trustStore                                # Java, with what keytool made
  export JAVA_TOOL_OPTIONS=\"$JAVA=$PWD/dev.p12 ${{JAVA}}Password=changeit\"
  MONO=~/.config/.mono/new-certs/Trust; mkdir -p $MONO
  cp $CA $MONO/$(openssl x509 -noout -hash -in $CA).0    # Mono
  certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n hubwire -i $CA    # Chromium on Linux
Other systems and browsers: docs/tls.md
"
    )
}

/// ` --config FILE`, fit to be pasted into a shell.
#[must_use]
pub fn config_option(file: &Path) -> String {
    format!(" --config {}", shell_word(&file.to_string_lossy()))
}

fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

struct Screen(String);

impl Screen {
    fn line(&mut self, line: impl std::fmt::Display) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{line}");
    }

    fn fact(&mut self, name: &str, value: impl std::fmt::Display) {
        self.line(format_args!("  {name:<18} {value}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Flag, Sources};

    fn check(facts: &Facts, shown: &[&str], hidden: &[&str]) {
        let screen = render(facts);
        assert!(screen.lines().count() <= 24, "{screen}");
        for line in screen.lines() {
            assert!(
                line.chars().count() <= 100 || line.contains("://"),
                "{line}"
            );
        }
        for text in shown {
            assert!(screen.contains(text), "{text} is not in\n{screen}");
        }
        for text in hidden {
            assert!(!screen.contains(text), "{text} is in\n{screen}");
        }
    }

    fn facts() -> Facts {
        Facts {
            endpoint: Endpoint::parse("http://localhost:8080").unwrap(),
            admin: None,
            file: None,
            program: "hubwire".to_owned(),
            options: String::new(),
            file_unused: false,
            public: Some(PublicAccess {
                connection_string: "Endpoint=http://localhost:8080;AccessKey=K;Version=1.0;"
                    .to_owned(),
                client_url: "ws://localhost:8080/client/hubs/chat?access_token=T".to_owned(),
            }),
            echo: true,
            authority: None,
        }
    }

    #[test]
    fn the_public_key_is_shown() {
        check(
            &facts(),
            &[
                "AccessKey=K",
                "?access_token=T",
                "no file",
                "builtin:echo answers every event",
            ],
            &["--config", "Metrics", "connection-string"],
        );
    }

    #[test]
    fn a_private_key_is_not_shown() {
        let facts = Facts {
            file: Some("hubwire.toml".into()),
            options: " --config hubwire.toml".to_owned(),
            public: None,
            echo: false,
            admin: Some(([127, 0, 0, 1], 8081).into()),
            ..facts()
        };
        check(
            &facts,
            &[
                "hubwire connection-string --config hubwire.toml",
                "hubwire token --hub chat --config hubwire.toml",
                "Metrics            http://127.0.0.1:8081/metrics",
            ],
            &["AccessKey", "access_token", "builtin:echo", "development"],
        );
    }

    #[test]
    fn the_longest_screen_fits() {
        check(
            &Facts {
                file_unused: true,
                admin: Some(([127, 0, 0, 1], 8081).into()),
                authority: Some("/x/ca.pem".into()),
                ..facts()
            },
            &["hubwire.toml is not in use", "to be trusted as below"],
            &[],
        );
    }

    #[test]
    fn an_authority_of_our_own_is_told_how_to_trust() {
        assert_eq!(render_trust(&facts()), "");
        let folder = tempfile::tempdir().unwrap();
        let sources = Sources {
            dev_tls: true,
            flags: vec![Flag {
                name: "--data-dir",
                key: "data_dir",
                values: vec![folder.path().to_string_lossy().into_owned()],
            }],
            ..Sources::default()
        };
        let config = Config::load(&sources).unwrap();
        let bound = ([127, 0, 0, 1], 8080).into();
        let facts = Facts {
            program: "hubwire".to_owned(),
            ..Facts::new(&config, bound, None, UnixSeconds(0)).unwrap()
        };
        assert_eq!(facts.endpoint.to_string(), "https://localhost:8080");
        assert_eq!(facts.options, " --dev-tls");
        let public = facts.public.as_ref().unwrap();
        assert!(public.client_url.starts_with("wss://localhost:8080/"));
        let trust = render_trust(&facts);
        let file = folder.path().join("dev-tls").join("ca.pem");
        assert!(trust.contains(&*file.to_string_lossy()), "{trust}");
        // Telling about it makes nothing.
        assert!(!file.exists());
        check(&facts, &["https://localhost:8080", "wss://"], &["http://"]);
    }

    #[test]
    fn facts_come_from_the_configuration() {
        let key = "k".repeat(32);
        let load = |source: &str| {
            let config = Config::parse(Path::new("x.toml"), source).unwrap();
            Facts::new(
                &config,
                ([127, 0, 0, 1], 4711).into(),
                None,
                UnixSeconds(1_000),
            )
            .unwrap()
        };
        let public = load("").public.unwrap();
        assert!(
            public
                .connection_string
                .starts_with("Endpoint=http://localhost:4711;AccessKey=")
        );
        assert!(
            public
                .client_url
                .starts_with("ws://localhost:4711/client/hubs/chat?access_token=")
        );
        assert_eq!(load(&format!("access_keys.primary = '{key}'")).public, None);
        assert!(!load("").echo);
        let options = |source| load(source).options;
        assert_eq!(options(""), " --config x.toml");
        assert_eq!(options("listen = '127.0.0.1:4711'"), " --config x.toml");
        assert_eq!(
            options("listen = '127.0.0.1:0'"),
            " --config x.toml --endpoint http://localhost:4711"
        );
        assert_eq!(
            options("endpoint = 'http://localhost:1'"),
            " --config x.toml"
        );
    }

    #[test]
    fn a_flag_is_passed_on_to_other_commands() {
        let flag = |name, key, value: &str| Flag {
            name,
            key,
            values: vec![value.to_owned()],
        };
        let check = |flag: Flag, expected: &str| {
            let sources = Sources {
                flags: vec![flag],
                ..Sources::default()
            };
            let config = Config::load(&sources).unwrap();
            let facts = Facts::new(&config, ([127, 0, 0, 1], 9).into(), None, UnixSeconds(0));
            assert_eq!(facts.unwrap().options, expected);
        };
        check(
            flag("--listen", "listen", "localhost:9"),
            " --endpoint http://localhost:9",
        );
        check(
            flag("--endpoint", "endpoint", "http://[::1]:7"),
            " --endpoint 'http://[::1]:7'",
        );
        check(flag("--shards", "shards", "1"), "");
    }

    #[test]
    fn hints_survive_the_shell() {
        let check =
            |file: &str, expected: &str| assert_eq!(config_option(Path::new(file)), expected);
        check("hubwire.toml", " --config hubwire.toml");
        check("my file", " --config 'my file'");
        check("it's", r" --config 'it'\''s'");
        check("$(x)", " --config '$(x)'");
    }
}
