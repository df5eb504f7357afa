//! Looking at zones and sets over DNS.

use trueup_sdk::{Error, Fault, Result, dns};

use super::shadow::Shadows;
use super::{PARALLEL, Rfc2136, contents, parse_version, refused, seen};
use crate::backend::{Ask, Seen, View};
use crate::message::transfer::{Step, Transfer, TransferError, Transferred};
use crate::message::{self, Answer, Opcode, Rcode};
use crate::name::{Name, Style};
use crate::rdata::Type;
use crate::set::{Collector, RecordSet};
use crate::wire::Malformed;

/// From this many sets on, a zone is transferred instead of asked set by set.
const MANY: usize = 256;

/// What became of one query for one set.
enum Told {
    Found(RecordSet),
    Absent,
    /// The answer may come from somewhere else than the set itself.
    Unclear,
}

fn malformed(zone: &Name, it: Malformed) -> Error {
    Error::transient("dns.answer", format!("zone `{}`: the answer is malformed: {it}", zone.without_dot()))
}

/// Puts one answer together.
fn transferred(zone: &Name, since: Option<u32>, answer: Result<Vec<Vec<u8>>>) -> Result<Result<Transferred, TransferError>> {
    let mut transfer = Transfer::new(zone, since);
    for message in answer? {
        if let Err(error) = transfer.message(&message) {
            return Ok(Err(error));
        }
    }
    Ok(transfer.finish())
}

fn explained(zone: &Name, error: &TransferError) -> Error {
    let what = format!("transfer of zone `{}`", zone.without_dot());
    match error {
        TransferError::Refused(rcode @ Rcode::REFUSED) => {
            let error = refused(*rcode, &what);
            Error { message: format!("{}; allow transfers to this key or address on the server", error.message), ..error }
        }
        TransferError::Refused(rcode) => refused(*rcode, &what),
        TransferError::TooLarge => Error::new(Fault::Denied, "dns.too-large", format!("{what}: {error}")),
        TransferError::Malformed(_) | TransferError::Cut => Error::transient("dns.transfer", format!("{what}: {error}")),
    }
}

impl Rfc2136 {
    /// Looks at whole zones: all that are known by IXFR, the others by AXFR, and by AXFR too where a difference does not help.
    pub(super) fn views(&self, asks: &[Ask<'_>]) -> Vec<Result<View>> {
        let query = |ask: &Ask<'_>| {
            let since = ask.since.and_then(parse_version);
            self.stream(since.map_or_else(|| message::query(ask.zone, Type::AXFR), |it| message::ixfr(ask.zone, it)))
        };
        let answers = dns::exchange_all(asks.iter().map(query).collect(), PARALLEL);
        asks.iter().zip(answers).map(|(ask, answer)| self.view(ask, answer)).collect()
    }

    fn view(&self, ask: &Ask<'_>, answer: Result<Vec<Vec<u8>>>) -> Result<View> {
        let since = ask.since.and_then(parse_version);
        match transferred(ask.zone, since, answer)? {
            Ok(Transferred::Unchanged { serial }) if Some(serial) == since => Ok(View::Unchanged),
            // An older serial than ours: the zone was put back to what it once was.
            Ok(Transferred::Unchanged { .. }) => self.transfer(ask.zone),
            Ok(Transferred::Whole { serial, sets }) => Ok(whole(&self.server, ask.zone, serial, &sets)),
            Ok(Transferred::Delta { serial, steps }) => match self.delta(ask.zone, serial, &steps)? {
                Some(view) => Ok(view),
                None => self.transfer(ask.zone),
            },
            // The server may not do IXFR, or not since that serial.
            Err(_) if since.is_some() => self.transfer(ask.zone),
            Err(TransferError::Refused(Rcode::NOTAUTH)) => Ok(View::Missing),
            Err(error) => Err(explained(ask.zone, &error)),
        }
    }

    /// The whole zone, however much of it is known.
    fn transfer(&self, zone: &Name) -> Result<View> {
        let (serial, sets) = match self.axfr(zone)? {
            Some(it) => it,
            None => return Ok(View::Missing),
        };
        Ok(whole(&self.server, zone, serial, &sets))
    }

    /// Serial and sets of a zone; none where the server does not have it.
    fn axfr(&self, zone: &Name) -> Result<Option<(u32, Vec<RecordSet>)>> {
        let answer = self.stream(message::query(zone, Type::AXFR)).send();
        match transferred(zone, None, answer)? {
            Ok(Transferred::Whole { serial, sets }) => Ok(Some((serial, sets))),
            Ok(_) => Err(explained(zone, &TransferError::Cut)),
            Err(TransferError::Refused(Rcode::NOTAUTH)) => Ok(None),
            Err(error) => Err(explained(zone, &error)),
        }
    }

    /// What a difference means: of the sets that it touches, as they are now. None where it touches so many sets, or such that
    /// queries may not tell them, that the whole zone is the shorter way.
    fn delta(&self, zone: &Name, serial: u32, steps: &[Step]) -> Result<Option<View>> {
        let mut touched = Vec::new();
        for record in steps.iter().flat_map(|it| it.removed.iter().chain(&it.added)) {
            if record.rtype.role() == crate::rdata::Role::Data {
                touched.push((record.name.clone(), record.rtype));
            }
        }
        touched.sort_unstable_by(|one, other| one.1.cmp(&other.1).then_with(|| one.0.cmp(&other.0)));
        touched.dedup();
        let Some(shadows) = Shadows::load(&self.server, zone) else { return Ok(None) };
        if touched.len() >= MANY || touched.iter().any(|(name, rtype)| shadows.casts(zone, name, *rtype)) {
            return Ok(None);
        }
        let Some(told) = self.ask(zone, &touched, &shadows)? else { return Ok(None) };
        let (mut sets, mut gone) = (Vec::new(), Vec::new());
        for (set, told) in touched.into_iter().zip(told) {
            match told {
                Some(it) => sets.push(it),
                None => gone.push(set),
            }
        }
        Ok(Some(View::Delta { sets, gone, version: super::version(serial) }))
    }

    /// Looks at sets of one zone.
    pub(super) fn look_at(&self, zone: &Name, sets: &[(Name, Type)]) -> Result<Vec<Option<Seen>>> {
        let shadows = Shadows::load(&self.server, zone).filter(|_| sets.len() < MANY);
        if let Some(shadows) = shadows {
            let shadows = shadows.with(zone, sets);
            if let Some(told) = self.ask(zone, sets, &shadows)? {
                return Ok(told);
            }
        }
        let Some((_, mut all)) = self.axfr(zone)? else { return Ok(sets.iter().map(|_| None).collect()) };
        Shadows::of(zone, &all).keep(&self.server, zone);
        all.sort_unstable_by(|one, other| one.rtype.cmp(&other.rtype).then_with(|| one.name.cmp(&other.name)));
        let find = |(name, rtype): &(Name, Type)| {
            let order = |it: &RecordSet| it.rtype.cmp(rtype).then_with(|| it.name.cmp(name));
            all.binary_search_by(order).ok().and_then(|at| all.get(at)).map(|it| seen(zone, it))
        };
        Ok(sets.iter().map(find).collect())
    }

    /// Asks for each set by a query of its own; none where an answer may not tell what stands in the zone.
    fn ask(&self, zone: &Name, sets: &[(Name, Type)], shadows: &Shadows) -> Result<Option<Vec<Option<Seen>>>> {
        if sets.iter().any(|(name, _)| shadows.hide(name)) {
            return Ok(None);
        }
        let queries = sets.iter().map(|(name, rtype)| self.stream(message::query(name, *rtype))).collect();
        let mut out = Vec::with_capacity(sets.len());
        for (answer, (name, rtype)) in dns::exchange_all(queries, PARALLEL).into_iter().zip(sets) {
            let messages = answer?;
            let message = messages.first().ok_or_else(|| malformed(zone, Malformed("it is empty")))?;
            match told(message, name, *rtype).map_err(|it| malformed(zone, it))? {
                Ok(Told::Found(set)) => out.push(Some(seen(zone, &set))),
                Ok(Told::Absent) => out.push(None),
                Ok(Told::Unclear) => return Ok(None),
                Err(rcode) => return Err(refused(rcode, &format!("query for {name} {rtype}"))),
            }
        }
        Ok(Some(out))
    }

    /// The serial of a zone; none where the server does not have the zone.
    pub(super) fn serial(&self, zone: &Name) -> Result<Option<u32>> {
        let messages = self.stream(message::query(zone, Type::SOA)).send()?;
        let message = messages.first().ok_or_else(|| malformed(zone, Malformed("it is empty")))?;
        match told(message, zone, Type::SOA).map_err(|it| malformed(zone, it))? {
            Ok(Told::Found(set)) => {
                let value = set.values.first().ok_or_else(|| malformed(zone, Malformed("it is empty")))?;
                message::serial(value).map(Some).map_err(|it| malformed(zone, it))
            }
            Ok(Told::Absent | Told::Unclear) | Err(Rcode::NOTAUTH | Rcode::REFUSED) => Ok(None),
            Err(rcode) => Err(refused(rcode, &format!("query for the SOA of {zone}"))),
        }
    }
}

fn whole(server: &str, zone: &Name, serial: u32, sets: &[RecordSet]) -> View {
    Shadows::of(zone, sets).keep(server, zone);
    View::Whole(contents(zone, serial, sets))
}

/// Reads the answer to a query for one set.
fn told(message: &[u8], name: &Name, rtype: Type) -> Result<Result<Told, Rcode>, Malformed> {
    let answer = Answer::parse(message, Opcode::Query)?;
    if !answer.is_about(name, rtype) {
        return Err(Malformed("it answers another question"));
    }
    if answer.truncated {
        return Err(Malformed("it is truncated over a stream"));
    }
    let mut collector = Collector::default();
    let (mut alias, mut renamed) = (false, false);
    answer.each(|record| {
        renamed |= record.rtype == Type::DNAME && record.name != name.wire();
        if record.class == message::IN && record.name == name.wire() {
            alias |= record.rtype == Type::CNAME;
            if record.rtype == rtype {
                record.gather(&mut collector);
            }
        }
        Ok::<(), Malformed>(())
    })?;
    let found = collector.finish(Style::Observed).map_err(|_| Malformed("its records make no set"))?.sets.pop();
    Ok(match (answer.rcode, found) {
        (Rcode::NOERROR | Rcode::NXDOMAIN, _) if renamed || !answer.authoritative => Ok(Told::Unclear),
        (Rcode::NOERROR | Rcode::NXDOMAIN, Some(set)) => Ok(Told::Found(set)),
        // Beside an alias there is nothing; the code is of the name that it leads to, whatever it is.
        (_, None) if alias => Ok(Told::Absent),
        (Rcode::NOERROR | Rcode::NXDOMAIN, None) => Ok(Told::Absent),
        (rcode, _) => Err(rcode),
    })
}

#[cfg(test)]
mod tests {
    use trueup_sdk::double::Double;
    use trueup_sdk::json;

    use super::*;
    use crate::backend::Backend as _;
    use crate::config::Config;
    use crate::message::{Head, IN, record_into};

    /// An answer to a query, with SOAs of these serials.
    fn answer(query: &[u8], serials: &[u32]) -> Vec<u8> {
        let mut out = query.to_vec();
        // Head and question only: IXFR carries a SOA of its own.
        let end = 12 + query[12..].iter().position(|it| *it == 0).unwrap() + 5;
        out.truncate(end);
        out[2] |= 0x84;
        out[6..12].fill(0);
        out[7] = serials.len() as u8;
        for serial in serials {
            let soa = [&[0, 0][..], &serial.to_be_bytes(), &[0; 16]].concat();
            record_into(Head { labels: &[], rtype: Type::SOA, class: IN, ttl: 60 }, &soa, &mut out);
        }
        out
    }

    #[test]
    fn a_zone_that_was_put_back_to_an_older_serial_is_read_anew() {
        let zone = Name::absolute("example.com").unwrap();
        let config = Config::parse(&json!({ "flavor": "rfc2136", "server": "dns://127.0.0.1:53" })).unwrap();
        let (double, backend) = (Double::install(), Rfc2136::new(&config));
        let ask = |since: &str, serial: u32| {
            double.resolve(move |query| {
                let is_ixfr = query.message.ends_with(&[0; 16]);
                let serials = if is_ixfr { vec![serial] } else { vec![serial, serial] };
                Ok(vec![answer(&query.message, &serials)])
            });
            double.take_calls();
            let view = backend.observe(&[Ask { zone: &zone, since: Some(since) }]).pop().unwrap().unwrap();
            (view == View::Unchanged, double.take_calls().len())
        };
        assert_eq!(ask("1-7", 7), (true, 1));
        assert_eq!(ask("1-7", 3), (false, 2), "an older serial is another state");
    }
}
