//! Whether a tag may charge: what the central system says, and what is known without it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Charger;
use super::reservation::Claim;
use crate::connector::{Errand, Phase, Request};
use crate::messages::{ClearCacheStatus, requests};
use crate::notice::Notice;
use crate::outbox::About;
use vocabulary::clock::Timestamp;

/// What is known about a tag: its `idTagInfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub status: String,
    pub parent: Option<String>,
    expires_at: Option<Timestamp>,
}

impl Verdict {
    /// Reads an `idTagInfo`; one without a status refuses nothing.
    pub(crate) fn read(info: &Value) -> Self {
        Self {
            status: info["status"].as_str().unwrap_or("Accepted").to_owned(),
            parent: info["parentIdTag"].as_str().map(str::to_owned),
            expires_at: info["expiryDate"].as_str().and_then(|text| text.parse().ok()),
        }
    }

    fn accepts(&self, now: Timestamp) -> bool {
        self.status == "Accepted" && self.expires_at.is_none_or(|at| at > now)
    }
}

/// What a charger knows about a tag without asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Known {
    Accepted { parent: Option<String> },
    Refused,
    Unknown,
}

/// Tags the central system has judged: the authorisation cache.
#[derive(Debug, Default)]
pub(crate) struct Cache(BTreeMap<String, Verdict>);

impl Charger {
    /// The local list first, then the cache; each only while it is switched on.
    pub(crate) fn known(&self, now: Timestamp, id_tag: &str) -> Known {
        let listed =
            self.configuration.flag("LocalAuthListEnabled").then(|| self.local_list.find(id_tag)).flatten();
        let cached = || {
            let enabled = self.configuration.flag("AuthorizationCacheEnabled");
            enabled.then(|| self.cache.0.get(&id_tag.to_lowercase())).flatten()
        };
        match listed.or_else(cached) {
            Some(verdict) if verdict.accepts(now) => Known::Accepted { parent: verdict.parent.clone() },
            Some(_) => Known::Refused,
            None => Known::Unknown,
        }
    }

    /// Keeps what the central system said about a tag for later.
    pub(crate) fn remember(&mut self, id_tag: &str, verdict: &Verdict) {
        // That the tag charges elsewhere now says nothing about the next time.
        if verdict.status != "ConcurrentTx" {
            self.cache.0.insert(id_tag.to_lowercase(), verdict.clone());
        }
    }

    /// Somebody wants to charge: with a tag at the reader, or through the central system.
    pub(crate) fn present(&mut self, now: Timestamp, index: usize, mut request: Request) {
        let trusted = request.remote && !self.configuration.flag("AuthorizeRemoteTxRequests");
        let known = self.known(now, &request.id_tag);
        if let Known::Accepted { parent } = &known {
            request.parent = parent.clone();
        }
        let pre_authorized =
            self.configuration.flag("LocalPreAuthorize") && matches!(known, Known::Accepted { .. });
        if trusted || pre_authorized {
            self.admit(now, index, request);
            return;
        }
        self.connectors[index].phase = Phase::Authorizing(request);
        if self.is_online() {
            self.ask_for_tag(index);
        } else {
            self.authorize_offline(now, index);
        }
    }

    fn ask_for_tag(&mut self, index: usize) {
        let Phase::Authorizing(request) = &self.connectors[index].phase else { return };
        let request = requests::authorize(&request.id_tag);
        self.queue(&request, About::Authorize { connector: index });
    }

    /// Drivers who still wait for a verdict when the socket is back.
    pub(crate) fn ask_again_for_tags(&mut self) {
        for index in 0..self.connectors.len() {
            if !self.outbox.has(About::Authorize { connector: index }) {
                self.ask_for_tag(index);
            }
        }
    }

    /// Nobody can be asked: list and cache decide, else the driver waits for the connection.
    pub(crate) fn authorize_offline(&mut self, now: Timestamp, index: usize) {
        let Phase::Authorizing(request) = &self.connectors[index].phase else { return };
        let known = match self.configuration.flag("LocalAuthorizeOffline") {
            true => self.known(now, &request.id_tag),
            false => Known::Unknown,
        };
        match known {
            Known::Accepted { .. } => self.admit_waiting(now, index),
            Known::Refused => self.refuse(now, index, "refused when it was last asked about".to_owned()),
            Known::Unknown if self.configuration.flag("AllowOfflineTxForUnknownId") => {
                self.admit_waiting(now, index);
            }
            Known::Unknown => {}
        }
    }

    /// The central system was asked and gave no verdict: as offline, but nobody waits for another answer.
    pub(crate) fn do_without_verdict(&mut self, now: Timestamp, index: usize) {
        self.authorize_offline(now, index);
        self.refuse(now, index, "no verdict".to_owned());
    }

    pub(crate) fn authorized(&mut self, now: Timestamp, index: usize, response: &Value) {
        let verdict = Verdict::read(&response["idTagInfo"]);
        let Phase::Authorizing(request) = &mut self.connectors[index].phase else { return };
        let id_tag = request.id_tag.clone();
        request.parent.clone_from(&verdict.parent);
        self.remember(&id_tag, &verdict);
        match verdict.status.as_str() {
            "Accepted" => self.admit_waiting(now, index),
            _ => self.refuse(now, index, verdict.status),
        }
    }

    fn admit_waiting(&mut self, now: Timestamp, index: usize) {
        let phase = std::mem::replace(&mut self.connectors[index].phase, Phase::Idle);
        if let Phase::Authorizing(request) = phase {
            self.admit(now, index, request);
        }
    }

    /// The tag is good: charge, or wait for the cable.
    fn admit(&mut self, now: Timestamp, index: usize, request: Request) {
        if self.claim(index, &request.id_tag, request.parent.as_deref()) == Claim::Foreign {
            self.connectors[index].phase = Phase::Authorizing(request);
            self.refuse(now, index, "reserved for somebody else".to_owned());
        } else if self.connectors[index].cable {
            self.start(now, index, request);
        } else {
            let until = now.after(self.configuration.seconds("ConnectionTimeOut"));
            self.connectors[index].phase = Phase::Expecting { request, until };
            if self.has_drivers() {
                let plug_at = now.after(self.options.real(self.options.handling));
                self.connectors[index].errand = Some((plug_at, Errand::Plug));
            }
            self.refresh(now, index);
        }
    }

    fn refuse(&mut self, now: Timestamp, index: usize, status: String) {
        let Phase::Authorizing(request) = &self.connectors[index].phase else { return };
        let (connector_id, id_tag) = (self.connectors[index].id, request.id_tag.clone());
        self.connectors[index].phase = Phase::Idle;
        self.notice(Notice::TagRefused { connector_id, id_tag, status });
        self.go_on(now, index);
    }

    /// The tag was accepted, and no cable came in time.
    pub(crate) fn nobody_came(&mut self, now: Timestamp, index: usize) {
        let Phase::Expecting { request, .. } = &self.connectors[index].phase else { return };
        let (connector_id, id_tag) = (self.connectors[index].id, request.id_tag.clone());
        self.connectors[index].phase = Phase::Idle;
        self.connectors[index].errand = None;
        self.notice(Notice::NobodyCame { connector_id, id_tag });
        self.go_on(now, index);
    }

    /// After a session that never began: simulated drivers leave at once, others decide for themselves.
    fn go_on(&mut self, now: Timestamp, index: usize) {
        if self.has_drivers() {
            self.leave(now, index);
        } else {
            self.refresh(now, index);
        }
    }

    /// Answers `ClearCache`.
    pub(crate) fn clear_cache(&mut self) -> ClearCacheStatus {
        if !self.configuration.flag("AuthorizationCacheEnabled") {
            return ClearCacheStatus::Rejected;
        }
        self.cache.0.clear();
        ClearCacheStatus::Accepted
    }
}
