//! The configuration written back as TOML: what `hubwire check-config` shows.

use std::fmt::Write;

use hubwire_proto::protobuf::JsonField;

use super::hub::HubConfig;
use super::{Config, TlsConfig};

/// Stands where a secret was.
const REDACTED: &str = "(redacted)";

pub(super) fn render(config: &Config) -> String {
    let mut toml = Toml(String::new());
    toml.text("listen", &config.listen.to_string());
    let scheme = if config.tls.is_some() {
        "https"
    } else {
        "http"
    };
    match config.endpoints(config.listen.port()) {
        Ok(endpoints) => toml.texts("endpoint", &endpoints),
        Err(_) => toml.comment(&format!(
            "endpoint is {scheme}://localhost and the port that the system chooses"
        )),
    }
    match &config.data_dir {
        Some(path) => toml.text("data_dir", &path.to_string_lossy()),
        None => toml.comment("data_dir is not set"),
    }
    toml.bare("keep_sessions", config.keep_sessions);
    match config.admin_listen {
        Some(address) => toml.text("admin_listen", &address.to_string()),
        None => toml.comment("admin_listen is off"),
    }
    toml.bare("shards", config.shards);

    toml.table("[log]");
    toml.text("level", config.log.level());
    toml.text("format", config.log.format.as_str());

    toml.table("[access_keys]");
    if config.access_keys.is_development() {
        toml.comment("primary is the public development key");
    } else {
        toml.text("primary", REDACTED);
    }
    match config.access_keys.secondary {
        Some(_) => toml.text("secondary", REDACTED),
        None => toml.comment("secondary is not set"),
    }

    toml.table("[auth]");
    toml.bare("check_audience_host", config.auth.check_audience_host);
    toml.bare("trust_forwarded_host", config.auth.trust_forwarded_host);

    toml.table("[rest]");
    toml.bare(
        "accept_preview_versions",
        config.rest.accept_preview_versions,
    );
    toml.text("encoded_slash", config.rest.encoded_slash());
    toml.text("token_generation", config.rest.token_generation());

    toml.table("[tls]");
    match config.tls.as_ref().map(TlsConfig::files) {
        Some(Some((certificate, key))) => {
            toml.text("certificate", &certificate.to_string_lossy());
            toml.text("key", &key.to_string_lossy());
        }
        Some(None) => toml.comment("--dev-tls: a certificate for this machine"),
        None => toml.comment("certificate and key are not set: no TLS"),
    }

    toml.table("[limits]");
    for (key, value) in config.limits.values() {
        match value {
            Some(value) => toml.bare(key, value),
            None => toml.comment(&format!("{key} follows from the system")),
        }
    }

    toml.hub("hub_defaults", &config.hub_defaults);
    for (name, hub) in &config.hubs {
        toml.hub(&format!("hubs.{}", quote(name)), hub);
    }
    toml.0
}

struct Toml(String);

impl Toml {
    fn line(&mut self, line: impl std::fmt::Display) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{line}");
    }

    fn table(&mut self, header: &str) {
        self.line("");
        self.line(header);
    }

    fn comment(&mut self, text: &str) {
        self.line(format_args!("# {text}"));
    }

    fn bare(&mut self, key: &str, value: impl std::fmt::Display) {
        self.line(format_args!("{key} = {value}"));
    }

    fn text(&mut self, key: &str, text: &str) {
        self.bare(key, quote(text));
    }

    fn texts(&mut self, key: &str, texts: &[impl std::fmt::Display]) {
        let quoted: Vec<_> = texts.iter().map(|text| quote(&text.to_string())).collect();
        self.bare(key, format_args!("[{}]", quoted.join(", ")));
    }

    fn hub(&mut self, path: &str, hub: &HubConfig) {
        self.table(&format!("[{path}]"));
        let policy = if hub.allow_anonymous { "allow" } else { "deny" };
        self.text("anonymous_connect_policy", policy);
        let interval = hub.keep_alive_interval.as_secs();
        self.bare("web_socket_keep_alive_interval_in_seconds", interval);
        let field = match hub.protobuf_json {
            JsonField::JsonData => "json_data",
            JsonField::TextData => "text_data",
        };
        self.text("protobuf_json", field);
        for handler in &hub.event_handlers {
            self.table(&format!("[[{path}.event_handlers]]"));
            self.text("url_template", handler.url_template.as_str());
            if !handler.user_event_pattern.is_empty() {
                self.text("user_event_pattern", &handler.user_event_pattern);
            }
            let events: Vec<_> = handler
                .system_events
                .iter()
                .map(|event| event.as_str())
                .collect();
            self.texts("system_events", &events);
        }
    }
}

/// A TOML basic string.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
