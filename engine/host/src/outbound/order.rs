//! Many exchanges at a time, answered in the order in which they were asked.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// How many exchanges of one provider run at a time.
pub(crate) struct Turns {
    most: usize,
    running: Arc<Semaphore>,
}

impl Turns {
    pub(crate) fn new(most: u32) -> Self {
        let most = usize::try_from(most.max(1)).unwrap_or(1);
        Self { most, running: Arc::new(Semaphore::new(most)) }
    }

    /// Does `work` with everything that was prepared, at most `parallel` at a time (0: as many as there are turns), and
    /// answers in order. What failed when it was prepared is answered as it is; `lost` is the answer of work that broke off.
    pub(crate) async fn in_order<P, T, E, F>(
        &self,
        prepared: Vec<Result<P, E>>,
        parallel: u32,
        lost: impl Fn() -> E,
        work: impl Fn(P) -> F,
    ) -> Vec<Result<T, E>>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let most = match usize::try_from(parallel).unwrap_or(usize::MAX) {
            0 => self.most,
            asked => asked.min(self.most),
        };
        let turn = Arc::new(Semaphore::new(most));
        let mut answers = Vec::with_capacity(prepared.len());
        let mut tasks = JoinSet::new();
        for (at, item) in prepared.into_iter().enumerate() {
            answers.push(Err(match item {
                Ok(item) => {
                    let (turn, running, work) = (Arc::clone(&turn), Arc::clone(&self.running), work(item));
                    tasks.spawn(async move {
                        let _turn = turn.acquire().await;
                        let _running = running.acquire().await;
                        (at, work.await)
                    });
                    lost()
                }
                Err(wrong) => wrong,
            }));
        }
        while let Some(done) = tasks.join_next().await {
            match done {
                Ok((at, answer)) => {
                    if let Some(place) = answers.get_mut(at) {
                        *place = answer;
                    }
                }
                // Stays `lost`: it is not known whether anything was sent.
                Err(err) => tracing::warn!("an exchange of a plugin was broken off: {err}"),
            }
        }
        answers
    }
}

/// Takes `len` bytes of what all answers of one call may hold together; whether there were so many left.
pub(crate) fn take(room: &AtomicU64, len: usize) -> bool {
    let len = u64::try_from(len).unwrap_or(u64::MAX);
    room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(len)).is_ok()
}
