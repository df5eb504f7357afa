//! The answer to a write: resolves when it is durable.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use tokio::sync::oneshot;

use super::StoreError;

/// A write under way. Await it, or [`Commit::wait`] for it from a thread; dropped, the write is made all the same.
#[must_use = "the write is durable only once this has resolved"]
#[derive(Debug)]
pub struct Commit<T> {
    answer: oneshot::Receiver<Result<T, StoreError>>,
    state: Arc<Path>,
}

impl<T> Commit<T> {
    /// A commit that resolves when the sender is used.
    pub(super) fn new(state: Arc<Path>) -> (oneshot::Sender<Result<T, StoreError>>, Self) {
        let (sender, answer) = oneshot::channel();
        (sender, Self { answer, state })
    }

    /// Blocks this thread until the write is durable. Not for tasks of a runtime: they await.
    ///
    /// # Errors
    ///
    /// Those of the write.
    pub fn wait(mut self) -> Result<T, StoreError> {
        struct Unpark(Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            match Pin::new(&mut self).poll(&mut context) {
                Poll::Ready(answer) => return answer,
                Poll::Pending => thread::park(),
            }
        }
    }
}

impl<T> Future for Commit<T> {
    type Output = Result<T, StoreError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // A sender that is gone means that the writer ended with this write in its queue.
        Pin::new(&mut self.answer)
            .poll(context)
            .map(|it| it.unwrap_or_else(|_| Err(StoreError::Stopped { path: self.state.to_path_buf() })))
    }
}
