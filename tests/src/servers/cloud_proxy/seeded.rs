//! Faults by a seed: the same ones for the same requests, whichever order these come in.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::CloudProxy;
use super::asked::Asked;
use super::fate::Fate;
use super::refusal::Refusal;

/// How often what happens, of 1.
#[derive(Clone, Debug)]
pub struct Rates {
    pub throttle: f64,
    /// 500 and 503, in turn before and after the server did it.
    pub trouble: f64,
    pub cut_before: f64,
    pub cut_after: f64,
    /// Up to 20 ms: enough to change the order of things.
    pub delay: f64,
    pub truncate: f64,
    pub repeat_page: f64,
    /// Lists that lie: nothing of these by itself.
    pub skip_page: f64,
    pub drop_last: f64,
    /// After so many faults everything passes, so that what is tried again gets through.
    pub budget: usize,
}

impl Default for Rates {
    fn default() -> Self {
        let common = Self { throttle: 0.05, trouble: 0.03, cut_before: 0.03, cut_after: 0.03, delay: 0.05, ..Self::none() };
        Self { truncate: 0.02, repeat_page: 0.05, budget: 40, ..common }
    }
}

impl Rates {
    /// Nothing of anything, and no bound.
    pub fn none() -> Self {
        Self {
            throttle: 0.0,
            trouble: 0.0,
            cut_before: 0.0,
            cut_after: 0.0,
            delay: 0.0,
            truncate: 0.0,
            repeat_page: 0.0,
            skip_page: 0.0,
            drop_last: 0.0,
            budget: usize::MAX,
        }
    }
}

/// Faults by a seed. Where the test that has them fails, seed and trace are printed.
pub struct Faults {
    seed: u64,
    rates: Rates,
    trace: Arc<Mutex<Vec<String>>>,
}

impl Faults {
    pub fn seeded(seed: u64, rates: Rates) -> Self {
        Self { seed, rates, trace: Arc::default() }
    }

    /// From now on the proxy has these.
    pub fn on(self, proxy: &CloudProxy) -> Self {
        let (seed, rates, trace) = (self.seed, self.rates.clone(), self.trace.clone());
        proxy.decide(move |asked| {
            let fate = fate(seed, &rates, asked);
            let mut trace = trace.lock().unwrap_or_else(PoisonError::into_inner);
            if matches!(fate, Fate::Pass) || trace.len() >= rates.budget {
                return Fate::Pass;
            }
            trace.push(format!("{asked}, the {}. of these: {fate}", asked.ordinal + 1));
            fate
        });
        self
    }

    /// What was done so far, a line each.
    pub fn trace(&self) -> Vec<String> {
        self.trace.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("faults of seed {}:\n{}", self.seed, self.trace().join("\n"));
        }
    }
}

/// What this seed has for this request.
fn fate(seed: u64, rates: &Rates, asked: &Asked) -> Fate {
    let text = format!("{seed} {} {asked}", asked.ordinal);
    let mixed =
        mix(text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)));
    // 53 bits are what a fraction holds.
    let mut left = (mixed >> 11) as f64 / (1_u64 << 53) as f64;
    let (more, coin) = (mix(mixed) % 1000, mixed & 1 == 0);
    let small = usize::try_from(more).unwrap_or(0);
    let mut chosen = |rate: f64| {
        left -= rate;
        left < 0.0 && left + rate >= 0.0
    };
    let status = if coin { 500 } else { 503 };
    if chosen(rates.throttle) {
        let refusal = Refusal::throttled(asked);
        Fate::Refuse(if coin { refusal.retry_after(1) } else { refusal })
    } else if chosen(rates.trouble) {
        let refusal = Refusal::trouble(asked, status);
        if more % 4 < 2 { Fate::Refuse(refusal) } else { Fate::RefuseAfter(refusal) }
    } else if chosen(rates.cut_before) {
        Fate::CutBefore
    } else if chosen(rates.cut_after) {
        Fate::CutAfter
    } else if chosen(rates.delay) {
        Fate::Delay(Duration::from_millis(1 + more % 20))
    } else if chosen(rates.truncate) {
        Fate::Truncate(small)
    } else if chosen(rates.repeat_page) && !asked.page().is_empty() {
        Fate::RepeatPage
    } else if chosen(rates.skip_page) && asked.is_read() {
        Fate::SkipPage
    } else if chosen(rates.drop_last) && asked.is_read() {
        Fate::DropLast(1 + small % 3)
    } else {
        Fate::Pass
    }
}

/// One step of `splitmix64`.
fn mix(seed: u64) -> u64 {
    let mut it = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    it ^ (it >> 31)
}

#[cfg(test)]
mod tests {
    use super::super::asked::tests::json;
    use super::*;

    fn fates(seed: u64, rates: &Rates) -> Vec<String> {
        let mut asked = json("sqs", "AmazonSQS.CreateQueue", "{}");
        let mut of = |ordinal| {
            asked.ordinal = ordinal;
            fate(seed, rates, &asked).to_string()
        };
        (0..2000).map(&mut of).collect()
    }

    #[test]
    fn a_seed_gives_the_same_faults_again_and_another_seed_others() {
        let rates = Rates::default();
        assert_eq!(fates(7, &rates), fates(7, &rates));
        assert_ne!(fates(7, &rates), fates(8, &rates));
    }

    #[test]
    fn faults_are_as_frequent_as_was_asked_for() {
        let rates = Rates { cut_before: 0.2, throttle: 0.1, ..Rates::none() };
        let fates = fates(1, &rates);
        let count = |what: &str| fates.iter().filter(|it| it.starts_with(what)).count();
        let (cut, refused, passed) = (count("cut"), count("refused"), count("pass"));
        assert_eq!(cut + refused + passed, 2000);
        assert!((320..480).contains(&cut) && (140..260).contains(&refused), "{cut} {refused}");
    }
}
