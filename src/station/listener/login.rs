//! How a station proves who it is: with a certificate, a password, or both.

use http::Request;
use hyper::body::Incoming;
use tokio::time::Instant;
use tracing::warn;

use super::peer::Peer;
use super::store_failure;
use crate::station::credentials::{PasswordCheck, PresentedPassword};
use crate::station::handshake::{self, BasicCredentials, Refusal};
use crate::station::settings::Ocpp;
use crate::station::{Stations, password};
use store::{StationAccess, UsedCertificate, UsedPassword};
use tls::ClientCertificate;
use vocabulary::id::StationId;
use vocabulary::log_limit::limited;

/// How a station has proved who it is.
#[derive(Default)]
pub(super) struct Login {
    /// The security profile: 3 with a certificate; 2, or 1 on a plain connection, with a password; else 0.
    pub(super) profile: u8,
    /// The password was the hex text of a key, not the bytes that it spells.
    pub(super) with_hex_text: bool,
    /// The certificate that it has shown.
    pub(super) certificate: Option<UsedCertificate>,
    /// Which password it was, if the station has two until it has settled on one.
    pub(super) password: Option<UsedPassword>,
}

/// Asks for what the station has: its certificate, its password.
pub(super) async fn log_in(
    stations: &Stations,
    request: &Request<Incoming>,
    peer: &Peer,
    identity: &StationId,
    access: &StationAccess,
) -> Result<Login, Refusal> {
    let Some(certificate) = peer.certificate.as_ref().map_err(|refusal| *refusal)? else {
        let login = by_password(stations, request, peer, identity, access).await?;
        return Ok(match login.profile {
            1 if peer.encrypted => Login { profile: 2, ..login },
            _ => login,
        });
    };
    let login = by_certificate(certificate, &stations.settings.ocpp, identity, access)?;
    // A station that shows a certificate need not send a password; one that is sent has to be right.
    if !request.headers().contains_key(http::header::AUTHORIZATION) {
        return Ok(login);
    }
    let with_password = by_password(stations, request, peer, identity, access).await?;
    Ok(Login { profile: login.profile, certificate: login.certificate, ..with_password })
}

/// Checks whether a client certificate is this station's. Its authority was checked before.
fn by_certificate(
    certificate: &ClientCertificate,
    settings: &Ocpp,
    identity: &StationId,
    access: &StationAccess,
) -> Result<Login, Refusal> {
    let is_ours = settings.tls_client_organization.as_ref().is_none_or(|own| certificate.is_of(own));
    let own_names = [identity.as_str(), access.station_id.as_str()];
    let mut names = own_names.into_iter().chain(access.certificate_name.as_deref());
    let number = certificate.serial_number();
    // The number says which of the certificates that name the station; it lets no other one in.
    let is_the_one = access.certificate_serial.as_ref().is_none_or(|own| own == number)
        || access.new_serials.contains(number);
    match is_ours && is_the_one && names.any(|name| certificate.names(name)) {
        true => {
            let used = UsedCertificate { serial_number: number.clone(), pin: settings.certificate_pin };
            Ok(Login { profile: 3, certificate: Some(used), ..Login::default() })
        }
        false => Err(Refusal::WrongCertificate),
    }
}

/// Asks for the password of a station that has one, or was sent one.
async fn by_password(
    stations: &Stations,
    request: &Request<Incoming>,
    peer: &Peer,
    identity: &StationId,
    access: &StationAccess,
) -> Result<Login, Refusal> {
    let StationAccess { station_id, password_verifiers: own, new_verifiers: new, .. } = access;
    if own.is_empty() && new.is_empty() {
        return Ok(Login::default());
    }
    let (passwords, from) = (&stations.passwords, peer.address.ip);
    let names = [identity.as_str().as_bytes(), station_id.as_str().as_bytes()];
    // Blanks around an identity mean nothing here either.
    let credentials = handshake::basic_credentials(request.headers())
        .filter(|of| names.contains(&of.user.as_slice()) || names.contains(&of.user.trim_ascii()));
    // A station that was sent its first password may come without one until it has used it.
    let otherwise = |refusal| if own.is_empty() { Ok(Login::default()) } else { Err(refusal) };
    let Some(BasicCredentials { password, .. }) = credentials else {
        let is_borne = own.is_empty() || passwords.note_missing(Instant::now(), station_id, from);
        return otherwise(if is_borne { Refusal::BadCredentials } else { Refusal::TooManyFailures });
    };
    let verifiers: Vec<&String> = own.iter().chain(new).collect();
    let claim = PresentedPassword { station: station_id, from, password: &password };
    match passwords.check(claim, &verifiers).await {
        PasswordCheck::Right { nth, renewed } => {
            let used = match nth.checked_sub(own.len()) {
                None => (!new.is_empty()).then_some(UsedPassword::Old),
                Some(_) => Some(UsedPassword::New(renewed.as_ref().unwrap_or(verifiers[nth]).clone())),
            };
            if let Some(renewed) = renewed {
                renew(stations, station_id, verifiers[nth], renewed).await?;
            }
            let with_hex_text = password::is_hex_key(&password);
            Ok(Login { profile: 1, with_hex_text, certificate: None, password: used })
        }
        PasswordCheck::Wrong => otherwise(Refusal::BadCredentials),
        PasswordCheck::TooManyWrong => otherwise(Refusal::TooManyFailures),
        PasswordCheck::Busy => Err(Refusal::PasswordsWait),
    }
}

/// Keeps a verifier that is quicker to check than the one it stands for.
async fn renew(stations: &Stations, station: &StationId, old: &str, renewed: String) -> Result<(), Refusal> {
    let kept = stations.store.renew_verifier(station.clone(), old.to_owned(), renewed).await;
    kept.map_err(|error| {
        limited!(warn: "the password of {station} could not be made quicker to check: {error}");
        store_failure::refusal(&error)
    })
}
