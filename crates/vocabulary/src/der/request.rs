//! Signing requests (PKCS #10, RFC 2986): what a station asks to have signed.
//!
//! Read by hand, since `rcgen` is less strict and less tolerant where it matters: of two common names it
//! keeps one, where two must be refused; it refuses a request for an extension that it does not know, where
//! none is looked at; and for a weak RSA key it says no more than that the signature is wrong.

use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject;

use super::tag::{BIT_STRING, INTEGER, SEQUENCE};
use super::{COMMON_NAME, ORGANIZATION, attributes, take};

/// A request as it was made; its signature is not checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningRequest {
    /// The common names of its subject.
    pub common_names: Vec<String>,
    /// The organisations of its subject.
    pub organizations: Vec<String>,
    /// The key and its kind, as they are encoded: `SubjectPublicKeyInfo`.
    pub key_info: Vec<u8>,
    /// The kind of the key, without the sequence around it.
    pub key_algorithm: Vec<u8>,
    /// The bits of the key.
    pub public_key: Vec<u8>,
    /// What was signed.
    pub signed: Vec<u8>,
    /// How it was signed, without the sequence around it.
    pub signature_algorithm: Vec<u8>,
    /// The bits of the signature.
    pub signature: Vec<u8>,
}

impl SigningRequest {
    /// Reads a request in PEM, or in the hex that chargers of the whitepaper's first edition send (quirk
    /// Q47); `None` if it is none.
    pub fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(der) = hex::decode(text) {
            return Self::read_der(&der);
        }
        // RFC 7468, 7: some write this label.
        let text = text.replace("NEW CERTIFICATE REQUEST", "CERTIFICATE REQUEST");
        Self::read_der(&CertificateSigningRequestDer::from_pem_slice(text.as_bytes()).ok()?)
    }

    fn read_der(der: &[u8]) -> Option<Self> {
        let (request, rest) = take(der, SEQUENCE)?;
        let (info, after_info) = take(request, SEQUENCE)?;
        let signed = &request[..request.len() - after_info.len()];
        let (_version, info) = take(info, INTEGER)?;
        let (subject, info) = take(info, SEQUENCE)?;
        let (key, after_key) = take(info, SEQUENCE)?;
        let key_info = &info[..info.len() - after_key.len()];
        let (key_algorithm, key) = take(key, SEQUENCE)?;
        let (signature_algorithm, after_algorithm) = take(after_info, SEQUENCE)?;
        let whole_bytes = |der| take(der, BIT_STRING)?.0.strip_prefix(&[0]).map(<[u8]>::to_vec);
        rest.is_empty().then_some(Self {
            common_names: attributes(subject, COMMON_NAME)?,
            organizations: attributes(subject, ORGANIZATION)?,
            key_info: key_info.to_vec(),
            key_algorithm: key_algorithm.to_vec(),
            public_key: whole_bytes(key)?,
            signed: signed.to_vec(),
            signature_algorithm: signature_algorithm.to_vec(),
            signature: whole_bytes(after_algorithm)?,
        })
    }

    /// The bits of the modulus, if the key is one of RSA.
    pub fn rsa_bits(&self) -> Option<usize> {
        let (key, _) = take(&self.public_key, SEQUENCE)?;
        let (modulus, _) = take(key, INTEGER)?;
        let first = modulus.iter().position(|byte| *byte != 0)?;
        Some((modulus.len() - first) * 8 - modulus[first].leading_zeros() as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    #[test]
    fn a_request_is_read_in_pem_and_in_hex() {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, "CP");
        params.distinguished_name.push(DnType::OrganizationName, "CPO");
        let request = params.serialize_request(&key).expect("signs");
        let pem = request.pem().expect("PEM");
        let read = SigningRequest::read(&pem).expect("a request");
        assert_eq!(
            (&read.common_names[..], &read.organizations[..]),
            (&["CP".to_owned()][..], &["CPO".to_owned()][..])
        );
        assert_eq!(SigningRequest::read(&hex::encode(request.der())), Some(read.clone()));
        let windows = pem.replace('\n', "\r\n").replace("CERTIFICATE", "NEW CERTIFICATE");
        assert_eq!(SigningRequest::read(&windows), Some(read.clone()));
        assert_eq!(read.rsa_bits(), None);
        let rsa = KeyPair::from_pem(include_str!("../../../../tests/tls/rsa.key")).expect("an RSA key");
        let request = params.serialize_request(&rsa).expect("signs").pem().expect("PEM");
        assert_eq!(SigningRequest::read(&request).and_then(|read| read.rsa_bits()), Some(2048));
        for junk in
            ["", "3000", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----"]
        {
            assert_eq!(SigningRequest::read(junk), None);
        }
    }
}
