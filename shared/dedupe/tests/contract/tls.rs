//! A server with TLS whose certificate names it by a common name alone, as Memorystore's do.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use dedupe::{Ledger, LedgerError, RedisLedger, RedisSettings};
use tempfile::TempDir;

use crate::server::{self, RedisServer};

fn openssl(folder: &Path, arguments: &str) {
    let mut command = Command::new("openssl");
    command.current_dir(folder).args(arguments.split(' ')).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().expect("openssl must be installed");
    assert!(status.success(), "openssl {arguments}");
}

/// Makes `NAME.pem` and `NAME.key`: one who signs certificates.
fn authority(folder: &Path, name: &str) {
    openssl(
        folder,
        &format!(
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={name} -keyout {name}.key -out {name}.pem \
             -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign"
        ),
    );
}

/// Makes `server.pem` and `server.key`, signed by `authority`: no name but a common name.
fn certificate(folder: &Path, authority: &str) {
    openssl(folder, "req -new -newkey rsa:2048 -nodes -subj /CN=10.16.0.3 -keyout server.key -out server.csr");
    std::fs::write(folder.join("extensions"), "basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n")
        .expect("a file");
    openssl(
        folder,
        &format!(
            "x509 -req -in server.csr -CA {authority}.pem -CAkey {authority}.key -CAcreateserial -days 2 \
             -extfile extensions -out server.pem"
        ),
    );
}

struct Secured {
    port: String,
    folder: TempDir,
    _server: RedisServer,
}

impl Secured {
    async fn start() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().expect("a folder");
        authority(folder.path(), "ours");
        authority(folder.path(), "foreign");
        certificate(folder.path(), "ours");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (key, certificate, ca, port) =
            (path("server.key"), path("server.pem"), path("ours.pem"), server::free_port());
        let server = RedisServer::started_with(&[
            "--tls-port",
            &port,
            "--tls-key-file",
            &key,
            "--tls-cert-file",
            &certificate,
            "--tls-ca-cert-file",
            &ca,
            "--tls-auth-clients",
            "no",
        ])
        .await;
        // It listens on its socket and on its port at once.
        server::answers(&RedisLedger::new(&RedisSettings::new(server.url())).expect("settings of a ledger")).await;
        Self { port, folder, _server: server }
    }

    fn ledger(&self, fragment: &str, authority: Option<&str>) -> Result<RedisLedger, LedgerError> {
        let url = format!("rediss://127.0.0.1:{}{fragment}", self.port).into();
        let authority = authority.map(|name| std::fs::read(self.folder.path().join(name)).expect("a file"));
        RedisLedger::new(&RedisSettings { authority, ..RedisSettings::new(url) })
    }
}

#[tokio::test]
async fn its_own_authority_is_believed_whatever_the_name_and_nobody_else() {
    let server = Secured::start().await;
    let ours = server.ledger("", Some("ours.pem")).expect("settings of a ledger");
    ours.ping().await.expect("an answer");

    // Both, as while Google changes them.
    let both = ["foreign.pem", "ours.pem"].map(|name| std::fs::read(server.folder.path().join(name)).expect("a file"));
    std::fs::write(server.folder.path().join("both.pem"), both.join(&b'\n')).expect("a file");
    server.ledger("", Some("both.pem")).expect("settings of a ledger").ping().await.expect("an answer");

    for authority in [Some("foreign.pem"), None] {
        let error = server.ledger("", authority).expect("settings of a ledger").ping().await.expect_err("a stranger");
        let told = format!("{error:?}");
        assert!(told.contains("UnknownIssuer"), "{authority:?}: {told}");
    }
}

#[tokio::test]
async fn what_would_believe_anybody_is_no_setting() {
    let server = Secured::start().await;
    let unusable = [("#insecure", None), ("#insecure", Some("ours.pem")), ("", Some("server.key"))];
    for (fragment, authority) in unusable {
        let error = server.ledger(fragment, authority).err();
        assert!(matches!(error, Some(LedgerError::Unusable { .. })), "{fragment} {authority:?}: {error:?}");
    }
}
