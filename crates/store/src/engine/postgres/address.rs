//! Where the database is, and how it is reached.

use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls};
use url::Url;

use crate::engine::postgres::tls;
use crate::error::{Result, StoreError};

/// The schema that the tables are in, unless the URL names another.
const SCHEMA: &str = "chargehook";

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long what was sent may stay unconfirmed by the other end's TCP.
const UNCONFIRMED_MAX: Duration = Duration::from_secs(10);

/// After how long a silence the other end's TCP is asked whether it is still there: of a server that was cut
/// off nothing else would ever be heard.
const ASKED_AFTER: Duration = Duration::from_secs(5);

/// After how long it is asked again, until it has not confirmed for [`UNCONFIRMED_MAX`].
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// [`UNCONFIRMED_MAX`] of work that takes its time: a server that is busy with its disk may hold it up.
const UNCONFIRMED_MAX_AT_LENGTH: Duration = Duration::from_secs(600);

/// What is wrong with a store's URL. The URL is not shown: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidAddress(String);

/// How much of the connection is secret, and whether the server proves who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum SslMode {
    /// Nothing is.
    Disable,
    /// It is encrypted; anybody may answer.
    Require,
    /// It is encrypted, and the server's certificate names the host and comes from a known authority.
    VerifyFull,
}

/// A database of PostgreSQL: host, user, database and schema, and how it is reached. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    config: Config,
    ssl_mode: SslMode,
    /// PEM: the authorities to rely on in place of the system's.
    root_certificates: Option<PathBuf>,
    schema: String,
    /// Its sessions are kept from writing.
    only_reads: bool,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Address").field(&self.to_string()).finish()
    }
}

impl fmt::Display for Address {
    /// Without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports = self.config.get_ports();
        let hosts: Vec<String> = self
            .config
            .get_hosts()
            .iter()
            .enumerate()
            .map(|(nth, host)| {
                // One port stands for all hosts.
                match ports.get(nth).or(ports.first()) {
                    Some(port) => format!("{}:{port}", host_text(host)),
                    None => host_text(host),
                }
            })
            .collect();
        let database = self.config.get_dbname().unwrap_or_default();
        write!(f, "postgres://{}/{database} (schema {})", hosts.join(","), self.schema)
    }
}

fn host_text(host: &tokio_postgres::config::Host) -> String {
    match host {
        tokio_postgres::config::Host::Tcp(name) => name.clone(),
        #[cfg(unix)]
        tokio_postgres::config::Host::Unix(path) => path.display().to_string(),
    }
}

impl Address {
    /// Reads `postgres://USER[:PASSWORD]@HOST[:PORT]/DATABASE`, with `sslmode` (`verify-full`, which is the
    /// default, `require`, `disable`), `sslrootcert` (a PEM file) and `schema` in its query, besides what the
    /// driver knows. `password` stands in for the URL's.
    ///
    /// # Errors
    /// What is wrong with it; the URL itself is not shown.
    pub fn parse(text: &str, password: Option<&str>) -> std::result::Result<Self, InvalidAddress> {
        let invalid = |reason: String| InvalidAddress(reason);
        let mut url = Url::parse(text).map_err(|error| invalid(format!("no URL: {error}")))?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(invalid(format!("{}:// is no store, postgres:// is", url.scheme())));
        }
        let (mut ssl_mode, mut root_certificates, mut schema) =
            (SslMode::VerifyFull, None, SCHEMA.to_owned());
        let mut of_driver = Vec::new();
        for (key, value) in url.query_pairs().into_owned() {
            match (key.as_str(), value.as_str()) {
                ("sslmode", "disable") => ssl_mode = SslMode::Disable,
                ("sslmode", "require") => ssl_mode = SslMode::Require,
                ("sslmode", "verify-full") => ssl_mode = SslMode::VerifyFull,
                ("sslmode", other) => {
                    return Err(invalid(format!("sslmode={other}: verify-full, require or disable")));
                }
                ("sslrootcert", path) => root_certificates = Some(PathBuf::from(path)),
                ("schema", name) => schema = schema_name(name).map_err(invalid)?,
                _ => of_driver.push((key, value)),
            }
        }
        url.set_query(None);
        if !of_driver.is_empty() {
            url.query_pairs_mut().extend_pairs(of_driver);
        }
        let mut config: Config =
            url.as_str().parse().map_err(|error| invalid(format!("no store: {error}")))?;
        if let Some(password) = password {
            config.password(password);
        }
        if config.get_hosts().is_empty() {
            return Err(invalid("it names no host".to_owned()));
        }
        if config.get_dbname().is_none() {
            return Err(invalid("it names no database (postgres://USER@HOST/DATABASE)".to_owned()));
        }
        let connect_timeout = *config.get_connect_timeout().unwrap_or(&CONNECT_TIMEOUT);
        let asked_after = config.get_keepalives_idle().min(ASKED_AFTER);
        config
            // A standby is not what we want, not even to read: it may be behind what others have been told.
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .connect_timeout(connect_timeout)
            .tcp_user_timeout(UNCONFIRMED_MAX)
            .keepalives_idle(asked_after)
            .keepalives_interval(ASKED_AGAIN_AFTER)
            .ssl_mode(match ssl_mode {
                SslMode::Disable => tokio_postgres::config::SslMode::Disable,
                _ => tokio_postgres::config::SslMode::Require,
            });
        Ok(Self { config, ssl_mode, root_certificates, schema, only_reads: false })
    }

    /// The same with another password.
    pub(crate) fn with_password(&self, password: &str) -> Self {
        let mut address = self.clone();
        address.config.password(password);
        address
    }

    /// The same, for work that takes its time.
    pub(crate) fn at_length(&self) -> Self {
        let mut address = self.clone();
        address.config.tcp_user_timeout(UNCONFIRMED_MAX_AT_LENGTH);
        address
    }

    #[cfg(test)]
    pub(crate) fn password(&self) -> Option<&[u8]> {
        self.config.get_password()
    }

    /// The schema that the tables are in.
    pub(crate) fn schema(&self) -> &str {
        &self.schema
    }

    /// The same, for sessions that others shall recognise, by this name and the schema's.
    pub(crate) fn for_sessions(&self, application: &str) -> Self {
        let mut address = self.clone();
        let mut options = self.config.get_options().unwrap_or_default().to_owned();
        options.push_str(&format!(" -c search_path={}", self.schema));
        let name = format!("{application} {:.38}", self.schema);
        address.config.application_name(name).options(options.trim());
        address
    }

    /// The same, for sessions that are kept from writing.
    pub(crate) fn for_reading(&self) -> Self {
        Self { only_reads: true, ..self.clone() }
    }

    /// A connection. Must be called in the runtime that drives it.
    ///
    /// # Errors
    /// [`StoreError::Away`] if nobody answers, not now, or only a standby; [`StoreError::Refused`] if it will
    /// not come about before somebody changes something.
    pub(crate) async fn connect(&self) -> Result<Client> {
        self.connect_and_tell(|| ()).await
    }

    /// The same; `hint` is called for each notification that it brings.
    pub(crate) async fn connect_and_tell(&self, hint: impl Fn() + Send + 'static) -> Result<Client> {
        let client = self.connected(hint).await?;
        if self.only_reads {
            client.batch_execute("SET default_transaction_read_only = on").await?;
        }
        Ok(client)
    }

    async fn connected(&self, hint: impl Fn() + Send + 'static) -> Result<Client> {
        let connector = match self.ssl_mode {
            SslMode::Disable => {
                let (client, connection) = self.config.connect(NoTls).await.map_err(not_connected)?;
                drive(connection, hint);
                return Ok(client);
            }
            SslMode::Require => tls::unverified(),
            SslMode::VerifyFull => tls::verified(self.root_certificates.as_deref())?,
        };
        let (client, connection) = self.config.connect(connector).await.map_err(not_connected)?;
        drive(connection, hint);
        Ok(client)
    }
}

/// Drives a connection until it ends.
fn drive<S, T>(mut connection: tokio_postgres::Connection<S, T>, hint: impl Fn() + Send + 'static)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
            if matches!(message, AsyncMessage::Notification(_)) {
                hint();
            }
        }
    });
}

/// Why there is no connection: whether it can come about by itself, or somebody has to change something.
fn not_connected(error: tokio_postgres::Error) -> StoreError {
    if let Some(theirs) = error.as_db_error() {
        let told = format!("{} ({})", theirs.message(), theirs.code().code());
        return match theirs.code().code() {
            // No such user, a wrong password, no such database, no right to connect.
            code if code.starts_with("28") || ["3D000", "42501"].contains(&code) => StoreError::Refused(told),
            _ => StoreError::Away(told),
        };
    }
    let Some(cause) = error.source() else { return StoreError::Away(error.to_string()) };
    let told = format!("{error}: {cause}");
    match cause.downcast_ref::<io::Error>() {
        // Wrong certificates are invalid data.
        Some(cause) if cause.kind() != io::ErrorKind::InvalidData => StoreError::Away(told),
        _ => StoreError::Refused(told),
    }
}

/// A name that needs no quotes, so that it can stand in any statement.
fn schema_name(name: &str) -> std::result::Result<String, String> {
    let legal = name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    match legal {
        true => Ok(name.to_owned()),
        false => Err(format!("schema={name}: up to 63 of a to z, 0 to 9 and _, no digit first")),
    }
}

impl From<InvalidAddress> for StoreError {
    fn from(error: InvalidAddress) -> Self {
        Self::Failed(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_shown_without_its_password() {
        let text = "postgres://user:secret@db.example:5433/charge?sslmode=require&schema=fleet&keepalives=1";
        let address = Address::parse(text, None).expect("an address");
        assert_eq!(format!("{address:?}"), "Address(\"postgres://db.example:5433/charge (schema fleet)\")");
        assert_eq!((address.ssl_mode, address.schema.as_str()), (SslMode::Require, "fleet"));
        assert_eq!(address.config.get_password(), Some(&b"secret"[..]));
        let other = Address::parse("postgres:///charge?host=/tmp&user=u", Some("file")).expect("a socket");
        assert_eq!(other.config.get_password(), Some(&b"file"[..]));
    }

    #[test]
    fn what_is_no_address_says_why_without_showing_a_password() {
        for (text, reason) in [
            ("nonsense", "no URL"),
            ("mysql://u:secret@h/d", "mysql:// is no store"),
            ("postgres://u:secret@h/d?sslmode=prefer", "verify-full, require or disable"),
            ("postgres://u:secret@h/d?schema=A-b", "schema=A-b"),
            ("postgres://u:secret@h/d?nonsense=1", "no store"),
            ("postgres://u:secret@h", "names no database"),
        ] {
            let told = Address::parse(text, None).expect_err(text).to_string();
            assert!(told.contains(reason) && !told.contains("secret"), "{text}: {told}");
        }
    }
}
