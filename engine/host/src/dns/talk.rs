//! One exchange with a server that may lie, stall or vanish: what is sent, what is waited for, what is believed.
//!
//! Over UDP whatever is no answer is passed over until the time is up: anybody can send a datagram. Over a stream the
//! first thing that is no answer ends the exchange: only the server is at the other end, or somebody in between.
//! Nothing is ever sent twice.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use super::check::{Asked, Stray, belongs};
use super::exchange::{Answer, now};
use super::tsig::{self, TsigKey, Verifier};
use super::wire::{self, Message, put_u16};
use crate::bindings::trueup::provider::dns as wit;
use crate::outbound::take;

/// Datagrams that are no answer, after which nobody waits for one that is.
const MAX_STRAYS: u32 = 10_000;
/// What each message costs the plugin beside its bytes; counted, so that a million empty ones are no way around a limit.
const OVERHEAD: usize = 64;
/// Bytes read from a stream at once.
const CHUNK: usize = 64 << 10;

/// One query on its way. `message` holds the id that was drawn, and no signature yet.
pub(super) struct Talk<'a> {
    pub(super) asked: &'a Asked,
    pub(super) id: u16,
    pub(super) message: Vec<u8>,
    pub(super) key: Option<&'a TsigKey>,
    pub(super) end: Instant,
    /// Bytes of all answers.
    pub(super) most: u64,
    /// What is left for all answers of the call.
    pub(super) room: &'a AtomicU64,
}

/// Why a message is not believed.
enum Wrong {
    Form(wire::Fault),
    Stray(Stray),
    Signature(tsig::Fault),
}

impl Wrong {
    fn explain(&self) -> String {
        match self {
            Self::Form(why) => format!("the answer is no DNS message: {why}"),
            Self::Stray(why) => format!("what came is not the answer: {why}"),
            Self::Signature(why) => format!("the answer is not believed: {why}"),
        }
    }

    fn into_error(self) -> wit::DnsError {
        match self {
            Self::Signature(why) if why.is_refusal() => wit::DnsError::Unauthorized(why.to_string()),
            wrong => wit::DnsError::Interrupted(wrong.explain()),
        }
    }
}

impl From<tsig::Fault> for Wrong {
    fn from(fault: tsig::Fault) -> Self {
        Self::Signature(fault)
    }
}

/// What is left to find out about a query that was sent.
struct Pending<'a> {
    key: Option<&'a TsigKey>,
    /// That of the query.
    signature: Vec<u8>,
}

impl<'a> Pending<'a> {
    fn verifier(&self) -> Option<Verifier<'a>> {
        self.key.map(|key| Verifier::new(key, &self.signature))
    }
}

impl<'a> Talk<'a> {
    /// Signs the query, as late as can be: the server looks at the time.
    fn sign(&mut self) -> Pending<'a> {
        let signature = self.key.map(|key| key.sign(&mut self.message, now())).unwrap_or_default();
        Pending { key: self.key, signature }
    }

    /// One message, judged; its signature is cut off and its id is the plugin's again.
    fn judge(&self, bytes: &mut Vec<u8>, verifier: Option<&mut Verifier<'_>>, first: bool) -> Result<Message, Wrong> {
        let message = Message::parse(bytes).map_err(Wrong::Form)?;
        belongs(self.asked, self.id, &message, first).map_err(Wrong::Stray)?;
        match verifier {
            Some(verifier) => verifier.take(bytes, &message, now())?,
            None => tsig::unsigned(&message)?,
        }
        put_u16(bytes, 0, self.asked.id);
        Ok(message)
    }

    /// Counts a message against both limits.
    fn count(&self, total: &mut u64, len: usize) -> Answer<()> {
        let cost = len.saturating_add(OVERHEAD);
        *total = total.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
        if *total > self.most || !take(self.room, cost) {
            return Err(wit::DnsError::TooLarge(self.most));
        }
        Ok(())
    }

    /// The time is up and nothing came that is an answer.
    fn silence(&self) -> wit::DnsError {
        if self.asked.changes {
            wit::DnsError::Interrupted("the server did not answer in time".to_owned())
        } else {
            wit::DnsError::TimedOut
        }
    }

    /// Sends one datagram and waits for its answer.
    pub(super) async fn datagram(mut self, addresses: &[SocketAddr]) -> Answer<Vec<Vec<u8>>> {
        let pending = self.sign();
        let mut last = wit::DnsError::Unreachable("the name has no address".to_owned());
        for address in addresses {
            match self.datagram_to(*address, &pending).await {
                Ok(bytes) => return Ok(vec![bytes]),
                Err(Lost::For(error)) => return Err(error),
                Err(Lost::Refused) if self.asked.changes => {
                    return Err(wit::DnsError::Interrupted(format!("{address} says that nothing listens there")));
                }
                // Nothing took it, so it may go to the next address.
                Err(Lost::Refused) => last = wit::DnsError::Unreachable(format!("nothing listens at {address}")),
            }
        }
        Err(last)
    }

    async fn datagram_to(&self, address: SocketAddr, pending: &Pending<'_>) -> Result<Vec<u8>, Lost> {
        let here: SocketAddr = if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
        let unsent = |err: io::Error| Lost::For(wit::DnsError::Unreachable(format!("{address}: {err}")));
        // Port 0: one that the kernel draws. Connected: the kernel drops what others send.
        let socket = UdpSocket::bind(here).await.map_err(unsent)?;
        socket.connect(address).await.map_err(unsent)?;
        socket.send(&self.message).await.map_err(unsent)?;
        let mut buffer = vec![0; usize::from(u16::MAX)];
        let (mut strays, mut total, mut last) = (0, 0, None);
        while strays < MAX_STRAYS {
            let len = match timeout_at(self.end, socket.recv(&mut buffer)).await {
                Ok(Ok(len)) => len,
                Ok(Err(err)) if err.kind() == io::ErrorKind::ConnectionRefused => return Err(Lost::Refused),
                Ok(Err(err)) => return Err(Lost::For(wit::DnsError::Interrupted(format!("{address}: {err}")))),
                Err(_) => return Err(Lost::For(last.map_or_else(|| self.silence(), Wrong::into_error))),
            };
            let mut bytes = buffer.get(..len).unwrap_or_default().to_vec();
            match self.judge(&mut bytes, pending.verifier().as_mut(), true) {
                Ok(_) => {
                    self.count(&mut total, bytes.len()).map_err(Lost::For)?;
                    return Ok(bytes);
                }
                Err(wrong) => last = Some(wrong),
            }
            strays += 1;
        }
        let text = format!("more than {MAX_STRAYS} messages came that are not the answer");
        Err(Lost::For(wit::DnsError::Interrupted(text)))
    }

    /// Sends the query over a stream and reads the answer, or all of a transfer.
    pub(super) async fn stream(mut self, stream: impl AsyncRead + AsyncWrite + Unpin) -> Answer<Vec<Vec<u8>>> {
        let pending = self.sign();
        let mut stream = BufReader::with_capacity(CHUNK, stream);
        self.send(&mut stream).await?;
        let (mut verifier, mut transfer) = (pending.verifier(), self.asked.transfer());
        let (mut messages, mut total) = (Vec::new(), 0);
        loop {
            let mut bytes = self.receive(&mut stream, messages.len()).await?;
            self.count(&mut total, bytes.len())?;
            let message = self.judge(&mut bytes, verifier.as_mut(), messages.is_empty()).map_err(|it| it.at(messages.len()))?;
            let last = match &mut transfer {
                None => true,
                Some(transfer) => transfer.take(&bytes, &message).map_err(|why| broken(why, messages.len()))?,
            };
            messages.push(bytes);
            if last {
                break;
            }
        }
        match verifier.map_or(Ok(()), |it| it.finish()) {
            Ok(()) => Ok(messages),
            Err(fault) => Err(Wrong::Signature(fault).at(messages.len().saturating_sub(1))),
        }
    }

    async fn send(&self, stream: &mut (impl AsyncWrite + Unpin)) -> Answer<()> {
        let len = u16::try_from(self.message.len())
            .map_err(|_| wit::DnsError::Malformed("the message is too long with its signature".to_owned()))?;
        let mut frame = Vec::with_capacity(2 + self.message.len());
        frame.extend(len.to_be_bytes());
        frame.extend(&self.message);
        let send = async {
            stream.write_all(&frame).await?;
            stream.flush().await
        };
        match timeout_at(self.end, send).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(err)) => Err(wit::DnsError::Interrupted(format!("the connection ended while the query was sent: {err}"))),
            Err(_) => Err(wit::DnsError::Interrupted("the server did not take the query in time".to_owned())),
        }
    }

    /// The next message of a stream; `came` were there before it.
    async fn receive(&self, stream: &mut (impl AsyncRead + Unpin), came: usize) -> Answer<Vec<u8>> {
        let mut begun = false;
        let receive = async {
            let mut len = [0; 2];
            if stream.read(len.get_mut(..1).unwrap_or_default()).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            begun = true;
            stream.read_exact(len.get_mut(1..).unwrap_or_default()).await?;
            let mut bytes = vec![0; usize::from(u16::from_be_bytes(len))];
            stream.read_exact(&mut bytes).await?;
            Ok::<_, io::Error>(bytes)
        };
        let answer = timeout_at(self.end, receive).await;
        let place = if begun { format!("in the middle of message {}", came + 1) } else { format!("after {came} messages") };
        match answer {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(err)) if came == 0 && !begun => {
                Err(wit::DnsError::Interrupted(format!("the server closed the connection without an answer: {}", reason(&err))))
            }
            Ok(Err(err)) => Err(wit::DnsError::Interrupted(format!("the answer was cut off {place}: {}", reason(&err)))),
            Err(_) if came == 0 && !begun => Err(self.silence()),
            Err(_) => Err(wit::DnsError::Interrupted(format!("the time was up {place}"))),
        }
    }
}

/// Why a datagram has no answer.
enum Lost {
    /// Nothing listens there, says the network.
    Refused,
    For(wit::DnsError),
}

impl Wrong {
    /// As the error of message `came + 1` of a stream.
    fn at(self, came: usize) -> wit::DnsError {
        match self.into_error() {
            wit::DnsError::Interrupted(text) if came > 0 => wit::DnsError::Interrupted(format!("message {}: {text}", came + 1)),
            error => error,
        }
    }
}

fn broken(why: wire::Fault, came: usize) -> wit::DnsError {
    wit::DnsError::Interrupted(format!("message {}: the transfer is none: {why}", came + 1))
}

fn reason(err: &io::Error) -> String {
    match err.kind() {
        io::ErrorKind::UnexpectedEof => "it ended".to_owned(),
        _ => crate::log::clean(&err.to_string(), 512),
    }
}
