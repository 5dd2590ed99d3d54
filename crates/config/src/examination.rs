//! What a configuration and everything it names come to, before anybody runs by it.

use std::ops::Range;
use std::path::Path;

use noonmark_nts::{Identity, IdentityError, TrustRoots, Validity};
use noonmark_os::private::{self, Exposure};
use noonmark_units::UnixTime;
use serde::{Serialize, Serializer};

use crate::certificate::CertificateText;
use crate::files::{self, Loaded, PEM_LIMIT};
use crate::leap_list::read_leap_seconds;
use crate::report::{Found, Gravity, Problem, Report};
use crate::settings::Nts;

/// What was found by [`examine`].
#[derive(Debug, Serialize)]
pub struct Examination {
    /// The file as it was named.
    file: String,
    /// Whether noonmarkd would take it, and do all that it says.
    good: bool,
    /// Everything it would be refused for.
    #[serde(serialize_with = "list")]
    problems: Option<Report>,
    /// What is wrong with certificate and key, if all else is good.
    identity: Option<String>,
    /// The server's certificate, once it and its key are understood.
    certificate: Option<CertificateText>,
    /// What noonmarkd takes although clients will not, or does without.
    #[serde(serialize_with = "lines")]
    warnings: Option<Report>,
}

/// Reads the configuration at `path` and everything it names as noonmarkd would, and says all that is wrong with it. `now` is this
/// machine's clock, by which certificates are judged.
#[must_use]
pub fn examine(path: &Path, now: UnixTime) -> Examination {
    let mut examination = Examination {
        file: path.to_string_lossy().into_owned(),
        good: false,
        problems: None,
        identity: None,
        certificate: None,
        warnings: None,
    };
    match files::load(path) {
        Ok(loaded) => examination.look_into(&loaded, now, system_has_authorities),
        Err(report) => examination.problems = Some(report),
    }
    examination
}

impl Examination {
    /// Whether noonmarkd would take it, and do all that it says.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.good
    }

    /// Whether nothing is wrong but the certificate or its key.
    #[must_use]
    pub fn is_identity_broken(&self) -> bool {
        self.identity.is_some()
    }

    /// Everything noonmarkd would refuse it for, with its place.
    #[must_use]
    pub fn problems(&self) -> Option<&Report> {
        self.problems.as_ref()
    }

    /// What noonmarkd takes although clients will not, or does without, with its place: certificates out of their time, a list of leap
    /// seconds that cannot be used or has expired.
    #[must_use]
    pub fn warnings(&self) -> Option<&Report> {
        self.warnings.as_ref()
    }

    /// What is good, for people; empty if it is not.
    #[must_use]
    pub fn praise(&self) -> String {
        let certificate = self.certificate.as_ref().map(|certificate| {
            let names = certificate.names.join(", ");
            format!("certificate for {names}, valid until {}\n", certificate.not_after)
        });
        if !self.good {
            return String::new();
        }
        format!("{}{}: good\n", certificate.unwrap_or_default(), self.file)
    }

    fn look_into(
        &mut self,
        loaded: &Loaded,
        now: UnixTime,
        system_has_authorities: impl FnOnce() -> bool,
    ) {
        let report = |gravity, found: Vec<Found>| {
            (!found.is_empty()).then(|| Report::of(gravity, &self.file, &loaded.text, found))
        };
        let (mut wrong, mut doubtful) = (authorities(loaded), Vec::new());
        wrong.extend(unproven(loaded, system_has_authorities));
        if let Some((gravity, found)) = leap_seconds(loaded, now) {
            match gravity {
                Gravity::Error => wrong.push(found),
                Gravity::Warning => doubtful.push(found),
            }
        }
        let is_all_else_good = wrong.is_empty();
        if let (Some(nts), Some(files)) = (&loaded.settings.nts, &loaded.identity) {
            match Identity::from_pem(&files.certificate, &files.key) {
                Ok(identity) => {
                    let chain: Vec<_> =
                        identity.certificates().filter_map(CertificateText::read).collect();
                    let place = &loaded.places.certificate;
                    doubtful.extend(
                        chain.iter().filter_map(|one| out_of_its_time(one, nts, place, now)),
                    );
                    self.certificate = chain.into_iter().next();
                }
                Err(error) => wrong.push(broken(&error, loaded, nts)),
            }
        }
        let broken = wrong.last().filter(|_| is_all_else_good).map(|found| found.message.clone());
        let (problems, warnings) =
            (report(Gravity::Error, wrong), report(Gravity::Warning, doubtful));
        self.identity = broken;
        self.good = problems.is_none();
        (self.problems, self.warnings) = (problems, warnings);
    }
}

/// What is wrong with the files of authorities that sources name.
fn authorities(loaded: &Loaded) -> Vec<Found> {
    let sources = loaded.settings.sources.iter().zip(&loaded.places.authorities);
    let unusable = sources.filter_map(|(source, place)| {
        let path = source.ca.as_ref()?;
        let octets = match private::read(path, Exposure::Public, LONGEST_AUTHORITIES) {
            Ok(octets) => octets,
            Err(refused) => {
                return Some(files::about_file(
                    &refused.why,
                    Some(("source.ca", path)),
                    place.clone(),
                ));
            }
        };
        let error = TrustRoots::new().add_pem(&octets).err()?;
        Some(Found {
            place: place.clone(),
            key: Some("source.ca".to_owned()),
            message: format!("source.ca: {}: {error}", files::quoted(&path.display())),
            accepted: Some("certificates of authorities as PEM".to_owned()),
        })
    });
    unusable.collect()
}

/// The first source that nobody can vouch for, because it leaves that to the system.
fn unproven(loaded: &Loaded, system_has_authorities: impl FnOnce() -> bool) -> Option<Found> {
    let mut sources = loaded.settings.sources.iter().zip(&loaded.places.authorities);
    let (_, place) = sources.find(|(source, _)| source.kind.is_nts() && source.ca.is_none())?;
    (!system_has_authorities()).then(|| Found {
        place: place.clone(),
        key: Some("source.ca".to_owned()),
        message: "source.ca: missing, and this system has no store of certificate authorities, so no NTS server can prove who it is"
            .to_owned(),
        accepted: Some(
            "the package ca-certificates installed, or `ca` with a file of authorities".to_owned(),
        ),
    })
}

/// Whether the system's store has an authority that can be used.
fn system_has_authorities() -> bool {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = TrustRoots::new();
    found.certs.iter().any(|certificate| roots.add_der(certificate).is_ok())
}

/// What is wrong with the list of leap seconds, and whether nothing stands in for it: a smear begins before sources may announce what it
/// smears.
fn leap_seconds(loaded: &Loaded, now: UnixTime) -> Option<(Gravity, Found)> {
    let path = loaded.settings.clock.leap_seconds.as_ref()?;
    let is_needed = loaded.settings.server.leap_smear.is_some();
    let (gravity, what) = match read_leap_seconds(path) {
        Ok(list) => {
            let expires = list.expires().filter(|_| list.is_expired(now))?;
            let what =
                format!("the list expired at {expires}, and this machine's clock says {now}");
            (Gravity::Warning, what)
        }
        Err(reason) if is_needed => (Gravity::Error, reason),
        Err(reason) => (Gravity::Warning, reason),
    };
    let instead = if is_needed {
        "nothing is smeared for leap-smear in [server] without it"
    } else {
        "the sources are believed instead"
    };
    let found = Found {
        place: loaded.places.leap_seconds.clone(),
        key: Some("clock.leap-seconds".to_owned()),
        message: format!(
            "clock.leap-seconds: {}: {what}; {instead}",
            files::quoted(&path.display())
        ),
        accepted: Some(
            "a file leap-seconds.list or tzdata's `leapseconds` that has not expired".to_owned(),
        ),
    };
    Some((gravity, found))
}

/// What is wrong with certificate and key, at the key that names the file to blame.
fn broken(error: &IdentityError, loaded: &Loaded, nts: &Nts) -> Found {
    let is_the_key = match error {
        IdentityError::NoCertificate | IdentityError::Certificate { .. } => false,
        IdentityError::Pem { .. } => loaded
            .identity
            .as_ref()
            .is_some_and(|files| TrustRoots::new().add_pem(&files.certificate).is_ok()),
        _ => true,
    };
    let (certificate, key) =
        (files::quoted(&nts.certificate.display()), files::quoted(&nts.key.display()));
    let (name, file, place) = if is_the_key {
        ("nts.key", &key, &loaded.places.key)
    } else {
        ("nts.certificate", &certificate, &loaded.places.certificate)
    };
    let message = if *error == IdentityError::Mismatch {
        format!("nts.key: {key} does not belong to the certificate in {certificate}")
    } else {
        format!("{name}: {file}: {error}")
    };
    let accepted = "the chain, the server's own certificate first, and the private key of that one";
    Found {
        place: place.clone(),
        key: Some(name.to_owned()),
        message,
        accepted: Some(accepted.to_owned()),
    }
}

/// Why nobody trusts a certificate at this time, if it is for that.
fn out_of_its_time(
    certificate: &CertificateText,
    nts: &Nts,
    place: &Option<Range<usize>>,
    now: UnixTime,
) -> Option<Found> {
    let CertificateText { subject, not_before, not_after, .. } = certificate;
    let what = match certificate.period.at(now) {
        Validity::Valid | Validity::EndsSoon => return None,
        Validity::NotYetValid => format!("is not valid before {not_before}"),
        Validity::Expired => format!("expired at {not_after}"),
    };
    let who = if certificate.names.is_empty() { subject } else { &certificate.names.join(", ") };
    let file = files::quoted(&nts.certificate.display());
    let message = format!(
        "nts.certificate: {file}: the certificate for {who} {what}, and this machine's clock says {now}; clients refuse it"
    );
    let accepted = Some("a certificate in its time; it is served all the same".to_owned());
    Some(Found { place: place.clone(), key: Some("nts.certificate".to_owned()), message, accepted })
}

fn list<S: Serializer>(report: &Option<Report>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(report.iter().flat_map(Report::problems))
}

fn lines<S: Serializer>(report: &Option<Report>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(report.iter().flat_map(Report::problems).map(Problem::to_string))
}

/// A system's whole store is less.
const LONGEST_AUTHORITIES: u64 = 8 * PEM_LIMIT;

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    const NTS: &str =
        "[nts]\nlisten = [\"127.0.0.1:14460\"]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\n";

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("noonmark-{name}-{}", std::process::id()));
            std::fs::create_dir(&path).expect("a new name");
            Self(path)
        }

        fn put(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.join(name);
            std::fs::write(&path, text).expect("room");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("ours");
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn pair() -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec!["time.example".to_owned()]).expect("a name");
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        let certificate = params.self_signed(&key).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    /// 2025.
    const IN_TIME: UnixTime = UnixTime { seconds: 1_750_000_000, nanos: 0 };

    #[test]
    fn certificate_and_key_are_looked_into_and_what_is_wrong_has_its_line() {
        let folder = Folder::new("examined");
        let ((certificate, key), (_, other)) = (pair(), pair());
        let file = folder.put("noonmark.toml", NTS);
        let check = |certificate: &str, key: &str, now: i64, said: &str, line: usize| {
            folder.put("cert.pem", certificate);
            folder.put("key.pem", key);
            let found = examine(&file, UnixTime::new(now, 0));
            let reports = found.problems().into_iter().chain(found.warnings());
            let all: Vec<_> = reports.flat_map(Report::problems).map(Problem::to_string).collect();
            assert_eq!(found.is_identity_broken(), !found.is_good(), "{all:?}");
            assert_eq!(all.len(), usize::from(!said.is_empty()), "{all:?}");
            let one = all.first().map(String::as_str).unwrap_or_default();
            assert!(one.contains(said), "{said} in {one}");
            assert!(said.is_empty() || one.contains(&format!("noonmark.toml:{line}: ")), "{one}");
            (found.is_good(), found.warnings().is_some())
        };
        let in_time = IN_TIME.seconds;
        assert_eq!(check(&certificate, &key, in_time, "", 0), (true, false));
        let mismatch = "does not belong to the certificate in";
        assert_eq!(check(&certificate, &other, in_time, mismatch, 4), (false, false));
        assert_eq!(check(&certificate, "", in_time, "no private key", 4), (false, false));
        assert_eq!(check("", &key, in_time, "no certificate", 3), (false, false));
        let expired = "time.example expired at 2030-01-01T00:00:00Z";
        assert_eq!(check(&certificate, &key, 2_000_000_000, expired, 3), (true, true));
        let early = "time.example is not valid before 2020-01-01T00:00:00Z";
        assert_eq!(check(&certificate, &key, 1_000_000_000, early, 3), (true, true));
    }

    #[test]
    fn authorities_of_a_source_are_looked_into() {
        let folder = Folder::new("authorities");
        let text =
            "[[source]]\nnts = \"a.example\"\nca = \"ca.pem\"\n[clock]\nclock = \"observe\"\n";
        let file = folder.put("noonmark.toml", text);
        let said = || examine(&file, IN_TIME).problems().map(ToString::to_string);
        assert!(said().expect("missing").contains("source.ca"));
        folder.put("ca.pem", "nothing");
        let nothing = said().expect("empty");
        assert!(
            nothing.contains("no certificate in it") && nothing.contains("noonmark.toml:3"),
            "{nothing}"
        );
        folder.put("ca.pem", &pair().0);
        assert_eq!(said(), None);
    }

    #[test]
    fn the_list_of_leap_seconds_is_looked_into() {
        let folder = Folder::new("leap-list");
        let check = |list: Option<&str>, smear: bool, gravity: Option<Gravity>, words: &str| {
            let smear = if smear { "leap-smear = \"linear\"\n" } else { "" };
            let text = format!(
                "[clock]\nleap-seconds = \"leap.list\"\n[server]\nlisten = [\"127.0.0.1:0\"]\n{smear}"
            );
            let _ = std::fs::remove_file(folder.0.join("leap.list"));
            if let Some(list) = list {
                folder.put("leap.list", list);
            }
            let found = examine(&folder.put("noonmark.toml", &text), IN_TIME);
            let (problems, warnings) = (found.problems(), found.warnings());
            let expected = (gravity == Some(Gravity::Error), gravity == Some(Gravity::Warning));
            assert_eq!((problems.is_some(), warnings.is_some()), expected, "{list:?}");
            assert_eq!((found.is_good(), found.is_identity_broken()), (!expected.0, false));
            let said = problems.or(warnings).map(ToString::to_string).unwrap_or_default();
            assert!(said.contains(words), "{said}");
            assert!(gravity.is_none() || said.contains("noonmark.toml:2"), "{said}");
        };
        let list = |expires: i64| format!("Leap 2016 Dec 31 23:59:60 + S\n#expires {expires}\n");
        let (good, old) = (list(IN_TIME.seconds + 1), list(IN_TIME.seconds));
        let long = "# \n".repeat(1 << 20);
        let (error, warning) = (Some(Gravity::Error), Some(Gravity::Warning));
        for (is_needed, unusable) in [(false, warning), (true, error)] {
            check(Some(&good), is_needed, None, "");
            check(Some(&old), is_needed, warning, "the list expired at 2025-06-15T15:06:40");
            check(None, is_needed, unusable, "No such file");
            check(Some(""), is_needed, unusable, "no leap second in it");
            check(Some("garbage\n"), is_needed, unusable, "line 1");
            check(Some(&long), is_needed, unusable, "more than a list of leap seconds has");
        }
    }

    #[test]
    fn a_system_without_authorities_is_told_where_a_source_needs_one() {
        let folder = Folder::new("no-store");
        folder.put("ca.pem", &pair().0);
        let check = |sources: &str, has_authorities: bool, line: Option<usize>| {
            let file = folder.put("noonmark.toml", &format!("{sources}[clock]\n"));
            let loaded = files::load(&file).unwrap_or_else(|report| panic!("{report}"));
            let mut found = Examination { file: "x.toml".to_owned(), ..examine(&file, IN_TIME) };
            found.look_into(&loaded, IN_TIME, || has_authorities);
            assert_eq!(found.is_good(), line.is_none(), "{sources}");
            let said = found.problems().map(ToString::to_string).unwrap_or_default();
            let Some(line) = line else { return };
            assert!(said.contains("ca-certificates") && said.contains("`ca`"), "{said}");
            assert!(said.contains(&format!("x.toml:{line}:")), "{said}");
        };
        let (own, plain) = (
            "[[source]]\nnts = \"a.example\"\nca = \"ca.pem\"\n",
            "[[source]]\nserver = \"b.example\"\n",
        );
        let bare = "[[source]]\nnts = \"c.example\"\n";
        check(bare, false, Some(1));
        check(bare, true, None);
        check(&format!("{own}{plain}"), false, None);
        check(&format!("{own}{plain}{bare}"), false, Some(6));
    }

    #[test]
    fn programs_get_the_same() {
        let folder = Folder::new("examined-json");
        let (certificate, _) = pair();
        folder.put("cert.pem", &certificate);
        folder.put("key.pem", &pair().1);
        let file = folder.put("noonmark.toml", NTS);
        let json = serde_json::to_value(examine(&file, IN_TIME)).expect("JSON");
        assert_eq!((&json["good"], &json["problems"][0]["line"]), (&false.into(), &4.into()));
        assert!(
            json["identity"].as_str().is_some_and(|text| text.starts_with("nts.key")),
            "{json}"
        );
        assert_eq!(
            (&json["warnings"], &json["certificate"]),
            (&serde_json::json!([]), &serde_json::Value::Null)
        );
        let json = serde_json::to_value(examine(&folder.0.join("missing"), IN_TIME)).expect("JSON");
        assert_eq!(
            (&json["identity"], json["problems"].as_array().map(Vec::len)),
            (&serde_json::Value::Null, Some(1))
        );
    }
}
