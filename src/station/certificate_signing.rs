//! Answers stations that ask for a certificate: which names it may have, and what the authority says.

use tracing::{info, warn};

use super::Stations;
use store::{Signing, StoreError};
use vocabulary::id::StationId;

/// The certificate authority's answer to a station that has connected with this security profile; `None` if
/// there is no authority.
pub(super) async fn answer(
    stations: &Stations,
    station: &StationId,
    security_profile: u8,
    request: Option<&str>,
) -> Result<Option<Signing>, StoreError> {
    let Some(authority) = stations.certificates.authority.clone() else { return Ok(None) };
    let refused = |reason: &str| Ok(Some(Signing::Refused { reason: reason.to_owned() }));
    let Some(request) = request.map(str::to_owned) else {
        return refused("unreadable: there is no request");
    };
    // A certificate outlasts the connection: anybody who claims this name would keep it for a year.
    if security_profile == 0 {
        return refused(
            "not_authenticated: a certificate is for a station that has connected with a password or one",
        );
    }
    let Some(access) = stations.store.station_access(station).await? else {
        return refused("unknown_station: it was removed");
    };
    let now = stations.clock.now();
    // A signature takes milliseconds, so it is made on a blocking thread.
    let signed = tokio::task::spawn_blocking(move || {
        let names: Vec<&str> =
            [access.station_id.as_str()].into_iter().chain(access.certificate_name.as_deref()).collect();
        authority.sign(&request, &names, now)
    });
    Ok(Some(match signed.await {
        Ok(Ok(issued)) => {
            let (serial, end) = (&issued.serial_number, issued.not_after);
            info!(station.id = %station, "certificate {serial} was issued to {station}, good until {end}");
            Signing::Signed { chain: issued.chain }
        }
        Ok(Err(refused)) => {
            warn!(station.id = %station, "{station} asked for a certificate and gets none: {refused}");
            Signing::Refused { reason: refused.to_string() }
        }
        Err(_) => Signing::Refused { reason: "authority_unable: it was stopped".to_owned() },
    }))
}
