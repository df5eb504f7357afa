//! What the authors' kit asks of a plugin and the engine never does: the same question again, and what it holds.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::call::Provider;
use crate::error::CallError;
use crate::grant::Grant;
use crate::load::Plugin;
use crate::pool::Instance;
use crate::records::Phase;
use crate::services::NoServices;
use crate::state::Context;

impl Plugin {
    /// What one fresh instance answers to `describe`, asked so many times in a row.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub async fn describe_again(&self, times: usize) -> Result<Vec<String>, CallError> {
        let plugin = &self.0;
        let limits = plugin.runtime.limits().clone();
        let limit = limits.call;
        let context =
            Arc::new(Context::new(plugin.manifest.name.as_str().into(), Grant::default(), Arc::new(NoServices), limits));
        let slot = plugin.runtime.0.budget.slot().await;
        let mut instance = Instance::start(&plugin.pre, &plugin.indices, context, Phase::Pure, limit, slot).await?;
        let mut answers = Vec::with_capacity(times);
        for _ in 0..times {
            answers.push(instance.describe(limit).await?);
        }
        Ok(answers)
    }
}

impl Provider {
    /// Bytes of linear memory that the largest warm instance holds; memory never shrinks, so that this is what its calls needed.
    /// None where no instance is warm: none was started, or it grew past half of the limit and was dropped.
    pub fn memory_held(&self) -> Option<u64> {
        let mut largest = None;
        for pool in &self.0.idle {
            let mut taken = Vec::new();
            while let Some(instance) = pool.pop() {
                largest = largest.max(u64::try_from(instance.store.data().memory_used()).ok());
                taken.push(instance);
            }
            taken.into_iter().rev().for_each(|it| pool.push(it, &self.plugin().0.runtime.0.budget));
        }
        largest
    }

    /// Instructions that the plugin executed for this provider so far, in calls that are over. It depends on nothing but what it was
    /// asked and answered, unlike time. Always 0 but in a runtime that is [counting](crate::Runtime::counting).
    pub fn work(&self) -> u64 {
        self.0.context.work.load(Ordering::Relaxed)
    }
}
