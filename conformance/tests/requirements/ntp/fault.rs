//! What a faulty server does: promises broken one at a time, in words. The adaptor does them.

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
            $(check::Fault { id: $id, name: $name, kind: FaultKind::Ntp(Fault::$variant) },)+
        ];
    };
}

faults! {
    "EF-02" RoundsLengths "lengths of fields are rounded up to multiples of four";
    "EF-03" ClipsLongFields "a field past the end ends with the packet";
    "EF-04" StretchesShortFields "a field below 16 octets is read as one of 16";
    "EF-05" TakesLoneField "a lone field of 16 to 24 octets is taken for one";
    "EF-06" TakesLastField "a last field of 16 to 24 octets is taken for one";
    "EF-07" TakesFieldForMac "32 octets behind the header are taken for a MAC";
    "EF-08" PassesLongMac "a MAC of more than 24 octets is passed over";
    "EF-09" PassesSecondMac "a MAC behind the NTS authenticator is passed over";
    "EF-10" DropsExperimental "a request with an experimental field is dropped";
    "EF-11" EchoesUnknown "unknown fields are echoed";
    "EF-12" DwellsOnFields "every field beyond 16 takes a millisecond";
    "EF-13" ReadsFieldsInVersion3 "fields are read in versions before 4";
    "EF-14" TakesAutokeyForNts "a lone cookie field gets NTSN";
    "EF-15" SendsExperimental "an experimental field is sent where there is room";
    "EF-16" DropsShortEncrypted "encrypted fields below 16 octets drop the packet";
    "EF-17" PassesSecondIdentifier "a second unique identifier is passed over";
    "EF-18" DropsComplement "a checksum complement drops the packet";
    "NS-01" MovesIdentifier "the unique identifier stands behind the authenticator";
    "NS-02" RateWithoutIdentifier "a kiss RATE has no unique identifier";
    "NS-03" SealsWithClientKey "answers are sealed by the client's key";
    "NS-04" CookieInClear "the last of several cookies comes in clear";
    "NS-05" OneCookieLess "of four cookies or more one is missing";
    "NS-06" LastCookieBroken "the last of several cookies is broken";
    "NS-07" HonoursOddPlaceholder "placeholders four octets too long or short are honoured";
    "NS-08" ReadsPlaceholders "a placeholder that is not all zero drops the packet";
    "NS-09" PassesEncryptedPlaceholders "encrypted placeholders are passed over";
    "NS-10" MakesRoomForNonce "a request without room for our nonce is answered";
    "NS-11" DropsLongNonces "nonces above 16 octets drop the packet";
    "NS-12" PollNotCovered "the tag does not cover the poll octet";
    "NS-13" DropsTrailing "fields behind the authenticator drop the packet";
    "NS-14" SilentToForgedTags "a tag that fails gets silence";
    "NS-15" NtsnWithCookie "a kiss NTSN has a cookie";
    "NS-16" NtsnWithoutOrigin "a kiss NTSN has no origin";
    "NS-17" LongNtsn "a kiss NTSN is four octets longer than its request";
    "NS-18" PadsAuthenticator "four octets of the nonce have become padding";
    "NS-19" NtsInMode5 "NTS is answered in mode 5";
    "NS-20" NeedsNoAuthenticator "a cookie without an authenticator gets an NTS answer";
    "NS-21" PassesSecondCookie "a second cookie is passed over";
    "NS-22" StretchesIdentifier "a short unique identifier is filled up";
    "NS-23" RemembersReplays "the last request is kept when it comes again";
    "NS-24" OneNonce "all answers have the same nonce";
    "NS-25" LinkableCookies "half of every cookie's nonce is the same";
    "NS-26" ForgetsEarly "cookie keys are forgotten one epoch early";
    "NS-28" ForgetsAtRestart "cookie keys are made anew at a restart";
    "NS-29" PlainDeny "a kiss DENY is not authenticated";
    "NS-30" NinthCookie "nine placeholders earn a ninth cookie";
    "WS-01" FillsShortHeader "the last octets of a header may be missing";
    "WS-02" SaysVersion4 "all answers have version 4";
    "WS-03" TakesVersion7 "version 7 is answered";
    "WS-04" RoundsOrigin "the last 16 bits of origin are zero";
    "WS-05" ReceivesEarly "receive is 10 ms before the request came";
    "WS-06" SaysMode2 "answers have mode 2";
    "WS-07" ClampsPoll "poll is clamped to 4..=17";
    "WS-08" SaysStratum16 "stratum 16 is sent as 16";
    "WS-09" PrecisionWithoutSign "precision lacks its sign";
    "WS-10" DispersionStays "dispersion is what it was at the last update";
    "WS-11" RightAlignsId "reference ids are filled with zeros in front";
    "WS-12" SetInTheFuture "the clock will be set a second from now";
    "WS-13" AnswersAnswers "mode 4 is answered";
    "WS-14" AnswersPeers "mode 1 is answered";
    "WS-15" AnswersBroadcasts "mode 5 is answered";
    "WS-16" AnswersMonlist "monlist is answered";
    "WS-17" AnswersGroups "requests to a group are answered";
    "WS-18" AddsMac "a MAC is added where there is room";
    "WS-19" PassesMac "a MAC is passed over";
    "WS-20" NoNoise "bits below the precision are zero";
    "WS-21" ReceivesAtZero "receive may be zero";
    "WS-22" LongVersion2 "answers of version 2 have four octets more";
    "WS-23" AnnouncesInMarch "a leap second is announced at the end of March";
    "WS-26" RemembersClients "something is kept of every client";
    "KD-11" RateSaysSynchronised "a kiss RATE has leap 0";
    "KD-12" KissesEverybody "every request over the limit gets a kiss";
    "KD-13" FloodStarvesClient "after twenty requests over the limit NTS is refused too";
    "ER-01" NtsEndsWithEra "NTS ends with era 0";
    "ER-02" ComparesCounts "transmit is compared with receive as a number";
    "ER-03" SetAtZero "the clock may have been set at zero";
    "ER-05" WrapsIn2038 "after 2038-01-19 time is 68 years off";
    "ER-06" EpochsIn32Bits "epochs are counted from 32 bits of seconds";
    "ER-08" ChokesOnExponents "equal exponents of 64 and more are not answered";
    "IL-01" EqualStamps "a transmit stamp just after receive is equal to it";
    "IL-02" AnswersEqualStamps "a request with two equal stamps is answered interleaved";
    "IL-03" TellsTooEarly "the time told is ten microseconds before the answer left";
    "IL-04" ServesTwice "an answer is told of again";
    "IL-05" InterleavesZero "origin zero beside a receive stamp is answered interleaved";
    "IL-06" KeepsEveryTime "something is kept of every answer that may be asked for";
    "IL-07" KeyedByPort "a client with another port is another client";
    "IL-08" RepeatsStamps "a clock that stands still gives one receive stamp to all";
    "IL-14" LeaksReceive "the reference time is the receive stamp";
    "IL-16" BasicUnderNts "NTS requests are answered in basic mode only";
}
