//! The record types: each is data, a list of fields and their formats.

use std::fmt;

use super::field::Field::{
    self, Base64, Hex, Host, Ipv4, Ipv6, Loc, Mnemonic, Name, Params, Remainder, Tag, Text, Texts, Time, U8, U16, U32,
};
use super::field::{ALGORITHMS, MATCHINGS, SELECTORS, USAGES};

/// A record type by its number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Type(pub u16);

/// Who writes records of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// People do.
    Data,
    /// The server does, when it signs or transfers a zone.
    Server,
    /// Nobody: it exists in queries only.
    Query,
}

/// What is known of one type.
#[derive(Debug)]
pub struct Info {
    pub rtype: Type,
    pub name: &'static str,
    pub role: Role,
    /// Empty where rdata is only carried, not read.
    pub fields: &'static [(&'static str, Field)],
}

impl Type {
    pub const A: Self = Self(1);
    pub const NS: Self = Self(2);
    pub const CNAME: Self = Self(5);
    pub const SOA: Self = Self(6);
    pub const MX: Self = Self(15);
    pub const TXT: Self = Self(16);
    pub const AAAA: Self = Self(28);
    pub const SRV: Self = Self(33);
    pub const DNAME: Self = Self(39);
    pub const DS: Self = Self(43);
    pub const SSHFP: Self = Self(44);
    pub const RRSIG: Self = Self(46);
    pub const NSEC: Self = Self(47);
    pub const TLSA: Self = Self(52);
    pub const SMIMEA: Self = Self(53);
    pub const SVCB: Self = Self(64);
    pub const HTTPS: Self = Self(65);
    pub const CAA: Self = Self(257);
    pub const IXFR: Self = Self(251);
    pub const AXFR: Self = Self(252);
    pub const ANY: Self = Self(255);
    /// PowerDNS's own type: it never leaves the server, so no message carries it.
    pub const ALIAS: Self = Self(65401);

    /// Reads `MX` or `TYPE15`, in any case.
    ///
    /// # Errors
    /// For a name that no type has.
    pub fn parse(text: &str) -> Result<Self, String> {
        let known = TABLE.iter().find(|it| it.name.eq_ignore_ascii_case(text));
        let number = || {
            let digits = text.get(4..).filter(|_| text.get(..4).is_some_and(|it| it.eq_ignore_ascii_case("TYPE")))?;
            digits.bytes().all(|it| it.is_ascii_digit()).then(|| digits.parse().ok().map(Self)).flatten()
        };
        let found = known.map(|it| it.rtype).or_else(number);
        let unknown =
            || format!("`{}` is no record type; for a new one write its number, such as TYPE65280", crate::name::shorten(text));
        found.ok_or_else(unknown)
    }

    /// What the table says of the type.
    pub fn info(self) -> Option<&'static Info> {
        TABLE.binary_search_by_key(&self, |it| it.rtype).ok().and_then(|at| TABLE.get(at))
    }

    /// The fields of the type; empty where rdata is only carried.
    pub fn fields(self) -> &'static [(&'static str, Field)] {
        self.info().map_or(&[], |it| it.fields)
    }

    /// A name that every server knows: the number, where rdata is only carried.
    pub fn safe_name(self) -> String {
        if self.fields().is_empty() { format!("TYPE{}", self.0) } else { self.to_string() }
    }

    pub fn role(self) -> Role {
        match (self.info(), self.0) {
            (Some(info), _) => info.role,
            // BIND notes at the apex how far it has come with signing.
            (None, 65534) => Role::Server,
            // RFC 6895 §3.1: 0 and 128 to 255 are for queries and for meta data.
            (None, 0 | 128..=255) => Role::Query,
            (None, _) => Role::Data,
        }
    }

    /// Whether messages can carry the type.
    pub fn has_wire_form(self) -> bool {
        self != Self::ALIAS
    }
}

impl fmt::Display for Type {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.info() {
            Some(info) => formatter.write_str(info.name),
            None => write!(formatter, "TYPE{}", self.0),
        }
    }
}

impl fmt::Debug for Type {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

const fn data(number: u16, name: &'static str, fields: &'static [(&'static str, Field)]) -> Info {
    Info { rtype: Type(number), name, role: Role::Data, fields }
}

/// A type whose values have the generic form alone: sets of it are seen, claimed and changed, but not read.
const fn opaque(number: u16, name: &'static str) -> Info {
    data(number, name, &[])
}

const fn server(number: u16, name: &'static str) -> Info {
    Info { rtype: Type(number), name, role: Role::Server, fields: &[] }
}

const fn query(number: u16, name: &'static str) -> Info {
    Info { rtype: Type(number), name, role: Role::Query, fields: &[] }
}

/// By number.
pub static TABLE: &[Info] = &[
    data(1, "A", &[("address", Ipv4)]),
    data(2, "NS", &[("target", Host)]),
    data(3, "MD", &[("target", Host)]),
    data(4, "MF", &[("target", Host)]),
    data(5, "CNAME", &[("target", Host)]),
    Info {
        rtype: Type::SOA,
        name: "SOA",
        role: Role::Server,
        fields: &[
            ("primary", Name),
            ("mailbox", Name),
            ("serial", U32),
            ("refresh", Time),
            ("retry", Time),
            ("expire", Time),
            ("minimum", Time),
        ],
    },
    data(7, "MB", &[("target", Host)]),
    data(8, "MG", &[("target", Host)]),
    data(9, "MR", &[("target", Host)]),
    opaque(10, "NULL"),
    opaque(11, "WKS"),
    data(12, "PTR", &[("target", Host)]),
    data(13, "HINFO", &[("cpu", Text), ("os", Text)]),
    data(14, "MINFO", &[("mailbox", Name), ("errors", Name)]),
    data(15, "MX", &[("preference", U16), ("exchange", Host)]),
    data(16, "TXT", &[("text", Texts)]),
    data(17, "RP", &[("mailbox", Name), ("text", Name)]),
    data(18, "AFSDB", &[("subtype", U16), ("host", Host)]),
    opaque(19, "X25"),
    opaque(20, "ISDN"),
    data(21, "RT", &[("preference", U16), ("host", Host)]),
    opaque(22, "NSAP"),
    opaque(23, "NSAP-PTR"),
    opaque(24, "SIG"),
    opaque(25, "KEY"),
    data(26, "PX", &[("preference", U16), ("map822", Name), ("mapx400", Name)]),
    opaque(27, "GPOS"),
    data(28, "AAAA", &[("address", Ipv6)]),
    data(29, "LOC", &[("location", Loc)]),
    opaque(30, "NXT"),
    opaque(31, "EID"),
    opaque(32, "NIMLOC"),
    data(33, "SRV", &[("priority", U16), ("weight", U16), ("port", U16), ("target", Host)]),
    opaque(34, "ATMA"),
    data(
        35,
        "NAPTR",
        &[("order", U16), ("preference", U16), ("flags", Text), ("services", Text), ("regexp", Text), ("replacement", Host)],
    ),
    data(36, "KX", &[("preference", U16), ("exchanger", Host)]),
    opaque(37, "CERT"),
    opaque(38, "A6"),
    data(39, "DNAME", &[("target", Host)]),
    opaque(40, "SINK"),
    query(41, "OPT"),
    opaque(42, "APL"),
    data(43, "DS", &[("key tag", U16), ("algorithm", Mnemonic(ALGORITHMS)), ("digest type", U8), ("digest", Hex)]),
    data(44, "SSHFP", &[("algorithm", U8), ("type", U8), ("fingerprint", Hex)]),
    opaque(45, "IPSECKEY"),
    server(46, "RRSIG"),
    server(47, "NSEC"),
    server(48, "DNSKEY"),
    opaque(49, "DHCID"),
    server(50, "NSEC3"),
    server(51, "NSEC3PARAM"),
    data(52, "TLSA", TLSA),
    data(53, "SMIMEA", TLSA),
    opaque(55, "HIP"),
    opaque(56, "NINFO"),
    opaque(57, "RKEY"),
    opaque(58, "TALINK"),
    server(59, "CDS"),
    server(60, "CDNSKEY"),
    data(61, "OPENPGPKEY", &[("key", Base64)]),
    opaque(62, "CSYNC"),
    server(63, "ZONEMD"),
    data(64, "SVCB", SVCB),
    data(65, "HTTPS", SVCB),
    opaque(66, "DSYNC"),
    opaque(67, "HHIT"),
    opaque(68, "BRID"),
    data(99, "SPF", &[("text", Texts)]),
    opaque(100, "UINFO"),
    opaque(101, "UID"),
    opaque(102, "GID"),
    opaque(103, "UNSPEC"),
    opaque(104, "NID"),
    opaque(105, "L32"),
    opaque(106, "L64"),
    opaque(107, "LP"),
    opaque(108, "EUI48"),
    opaque(109, "EUI64"),
    query(249, "TKEY"),
    query(250, "TSIG"),
    query(251, "IXFR"),
    query(252, "AXFR"),
    query(255, "ANY"),
    data(256, "URI", &[("priority", U16), ("weight", U16), ("target", Remainder)]),
    data(257, "CAA", &[("flags", U8), ("tag", Tag), ("value", Remainder)]),
    opaque(258, "AVC"),
    opaque(259, "DOA"),
    opaque(260, "AMTRELAY"),
    opaque(261, "RESINFO"),
    opaque(262, "WALLET"),
    opaque(263, "CLA"),
    opaque(264, "IPN"),
    opaque(32768, "TA"),
    opaque(32769, "DLV"),
    data(65401, "ALIAS", &[("target", Host)]),
];

const SVCB: &[(&str, Field)] = &[("priority", U16), ("target", Host), ("parameters", Params)];

const TLSA: &[(&str, Field)] =
    &[("usage", Mnemonic(USAGES)), ("selector", Mnemonic(SELECTORS)), ("matching type", Mnemonic(MATCHINGS)), ("data", Hex)];
