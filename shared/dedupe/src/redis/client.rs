//! How the server is connected to: with or without TLS, and whose certificates are believed.

use redis::{Client, ConnectionAddr, IntoConnectionInfo, TlsCertificates};
use secrecy::ExposeSecret;

use super::RedisSettings;
use crate::LedgerError;

/// A client of the server. Connects to nothing yet.
pub(super) fn client(settings: &RedisSettings) -> Result<Client, LedgerError> {
    let server = settings.url.expose_secret().into_connection_info().map_err(LedgerError::Refused)?;
    if matches!(server.addr(), ConnectionAddr::TcpTls { insecure: true, .. }) {
        return Err(unusable("a URL that ends in #insecure believes any certificate"));
    }
    let Some(authority) = &settings.authority else { return Client::open(server).map_err(LedgerError::Refused) };
    if !authority.windows(BEGIN.len()).any(|window| window == BEGIN) {
        return Err(unusable("the file of its authority holds no certificate in PEM"));
    }
    let certificates = TlsCertificates { client_tls: None, root_cert: Some(authority.clone()) };
    let client = Client::build_with_tls(server, certificates).map_err(LedgerError::Refused)?;
    let server = client.get_connection_info().clone();
    let mut address = server.addr().clone();
    // Memorystore's certificates tell the server's address as a common name alone, which nobody reads any more. Its authority
    // signs for this one server, so who shows a certificate of it is the server. Only the name is let go; the chain is verified.
    address.set_danger_accept_invalid_hostnames(true);
    Client::open(server.set_addr(address)).map_err(LedgerError::Refused)
}

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";

fn unusable(detail: &str) -> LedgerError {
    LedgerError::Unusable { detail: detail.to_owned() }
}
