//! What a faulty client does: promises broken one at a time, in words. The bench and the key exchange do them.

use noonmark_conformance::check;

use crate::FaultKind;

macro_rules! faults {
    ($($id:literal $variant:ident $name:literal;)+) => {
        /// One broken promise; [`FAULTS`] says in words which.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum Fault {
            $($variant,)+
        }

        pub const FAULTS: &[check::Fault<FaultKind>] = &[
            $(check::Fault { id: $id, name: $name, kind: FaultKind::Client(Fault::$variant) },)+
        ];
    };
}

faults! {
    "KE-09" NeedsNoEnd "a response without End of Message is taken";
    "KE-16" PassesCritical "unknown critical records in a response are passed over";
    "KE-30" PassesSecondProtocol "a second Next Protocol record is passed over";
    "KE-33" TakesUnofferedProtocol "a protocol that was not offered is taken for NTPv4";
    "KE-36" PassesShortError "an Error record of a wrong length is passed over";
    "KE-37" SendsError "the request has an Error record";
    "KE-39" PassesError "Error records are passed over";
    "KE-44" PassesWarning "Warning records are passed over";
    "KE-46" TakesFirstOfTwo "of two AEADs in a response the first is taken";
    "KE-49" TakesUnofferedAead "an AEAD that was not offered is taken";
    "KE-52" InventsCookie "a response without cookies is taken";
    "KE-55" SendsCookie "the request has a New Cookie record";
    "KE-59" PassesBadName "a server name that is none is passed over";
    "KE-62" TakesLastServer "of two Server records the last is taken";
    "KE-66" PassesBadPort "a port record of a wrong length or value is passed over";
    "NC-01" SecondIdentifier "requests have a second unique identifier";
    "NC-03" OneIdentifier "all requests have one unique identifier";
    "NC-05" SealsWithServerKey "requests are sealed by the server's key";
    "NC-09" ReusesCookie "the first cookie is sent again and again";
    "NC-10" OnePlaceholderLess "of two placeholders or more one is missing";
    "NC-11" LongPlaceholder "placeholders are four octets longer than the cookie";
    "NC-12" FilledPlaceholder "placeholders are not zero";
    "NC-14" TakesOtherIdentifier "an answer with another unique identifier is believed";
    "NC-15" TakesUnprotected "an answer without NTS is believed";
    "NC-16" KeepsClearCookies "cookies outside the authenticator are kept";
    "NC-17" DropsTrailing "fields behind the authenticator drop the answer";
    "NC-20" TakesForeignKiss "a kiss without the unique identifier is obeyed";
    "NC-26" TakesKeysAgain "kept keys that were used are taken again";
    "NC-31" ShowsStratum "requests show a stratum";
    "WC-02" TakesNearOrigin "an origin with one wrong bit is taken";
    "WC-03" TakesZeroOrigin "an origin of zero is taken";
    "WC-04" TakesZeroStamps "receive and transmit stamps of zero are taken";
    "WC-05" TakesTwice "an answer is taken a second time";
    "WC-07" TakesUnsynchronised "leap 3 is taken for no leap second";
    "WC-08" IgnoresDistance "root delay and root dispersion are ignored";
    "WC-09" IgnoresReference "a clock set in the future is believed";
    "WC-10" TakesAnyMode "any mode is taken for 4";
    "WC-11" LateOrigin "T1 is a microsecond late";
    "WC-13" TakesLongHeld "an answer held for more than 4 s is believed";
    "WC-17" NoChance "intervals are not stretched";
    "WC-24" StepsAnyway "a step beyond the largest is made";
    "WC-27" ObeysCryptoNak "a crypto-NAK ends the association";
    "WC-28" AnyEra "a time of another era is as good as one of this";
    "WC-29" BelievesOne "one source that announces a leap second is enough";
    "WC-30" AppliesAgain "a leap second is applied whenever its instant comes";
    "WC-31" WaitsLong "answers are taken for a minute";
    "KD-02" IgnoresDeny "a proven DENY is ignored";
    "KD-03" IgnoresRate "RATE is ignored";
    "KD-04" ObeysX "XABC is taken for RATE";
    "KD-05" ObeysStep "STEP is taken for RATE";
    "KD-06" TakesKissTime "the time in a kiss is believed";
    "KD-07" TakesAnyKiss "a kiss with a wrong origin is obeyed";
    "ER-04" EraByClock "what the clock shows at the start is the pivot of the era";
    "IL-09" TakesForBasic "an interleaved answer is taken for a basic one";
    "IL-12" NeedsInterleaved "basic answers are dropped once interleaved ones came";
    "IL-15" ForcedInterleaved "an origin of zero answers a basic question as interleaved";
}
