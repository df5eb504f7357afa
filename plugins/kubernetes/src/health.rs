//! Whether an object does what it was declared for, by the rules of kstatus (`sigs.k8s.io/cli-utils`), which Flux uses too.
//!
//! Pure. Beyond kstatus: a load balancer is awaited by its address, as who refers to it needs that; a paused Deployment and a
//! suspended Job or CronJob are suspended; an `APIService` is judged by `Available`; a Job that runs is progressing, as in Flux.

use trueup_sdk::error::healthy;
use trueup_sdk::{Health, HealthState, Json};

use crate::object::Object;

/// Longest part of a condition's own words, in bytes.
const WORDS: usize = 300;

/// The health of an object of the kind `name` (`Deployment.apps`).
pub fn assess(name: &str, object: &Object) -> Health {
    let look = Look { object, spec: object.body.get("spec").unwrap_or(&Json::Null), status: &object.status };
    look.assess(name)
}

/// Whether an object that is degraded does not get better by itself, by a word that is about the object as it is now declared:
/// what kstatus calls failed, a container that is tried again and again excepted.
pub fn is_stalled(name: &str, object: &Object, health: &Health) -> bool {
    let said = object.status.get("observedGeneration").is_some();
    let for_good = matches!(name, "Job.batch" | "PersistentVolumeClaim" | "CustomResourceDefinition.apiextensions.k8s.io");
    let failed_pod = name == "Pod" && object.status.get("phase").and_then(Json::as_str) == Some("Failed");
    // One that cannot scale now may later.
    let waits = name == "HorizontalPodAutoscaler.autoscaling";
    health.state == HealthState::Degraded && !waits && (for_good || failed_pod || (said && name != "Pod"))
}

fn is(state: HealthState, message: impl Into<String>) -> Health {
    Health { state, message: message.into() }
}

fn progressing(message: impl Into<String>) -> Health {
    is(HealthState::Progressing, message)
}

fn degraded(message: impl Into<String>) -> Health {
    is(HealthState::Degraded, message)
}

fn suspended(message: &str) -> Health {
    is(HealthState::Suspended, message)
}

struct Look<'a> {
    object: &'a Object,
    spec: &'a Json,
    status: &'a Json,
}

impl Look<'_> {
    fn assess(&self, name: &str) -> Health {
        if self.object.is_going() {
            return progressing(going(self.object));
        }
        if let (Some(wanted), Some(seen)) =
            (self.object.meta.generation, self.status.get("observedGeneration").and_then(Json::as_i64))
            && wanted != seen
        {
            return progressing(format!("generation {wanted} is not looked at yet, {seen} was the last"));
        }
        match name {
            "Deployment.apps" => self.deployment(),
            "ReplicaSet.apps" => self.replica_set(),
            "StatefulSet.apps" => self.stateful_set(),
            "DaemonSet.apps" => self.daemon_set(),
            "Job.batch" => self.job(),
            "CronJob.batch" if self.spec.get("suspend") == Some(&Json::Bool(true)) => suspended("suspended"),
            "Pod" => self.pod(),
            "PersistentVolumeClaim" => self.claim(),
            "PersistentVolume" => self.volume(),
            "Service" => self.service(),
            "Namespace" if self.text("phase") == "Terminating" => progressing("terminating"),
            "PodDisruptionBudget.policy" => self.budget(),
            "CustomResourceDefinition.apiextensions.k8s.io" => self.definition(),
            "APIService.apiregistration.k8s.io" => self.served(),
            "HorizontalPodAutoscaler.autoscaling" => self.autoscaler(),
            "ConfigMap" | "Secret" | "CronJob.batch" | "Namespace" => healthy(),
            _ => self.by_conditions(),
        }
    }

    fn text(&self, field: &str) -> &str {
        self.status.get(field).and_then(Json::as_str).unwrap_or_default()
    }

    fn number(&self, field: &str) -> i64 {
        self.status.get(field).and_then(Json::as_i64).unwrap_or_default()
    }

    fn replicas(&self) -> i64 {
        self.spec.get("replicas").and_then(Json::as_i64).unwrap_or(1)
    }

    /// Status, reason and message of a condition.
    fn condition(&self, kind: &str) -> Option<(&str, String)> {
        let all = self.status.get("conditions").and_then(Json::as_array)?;
        let it = all.iter().find(|it| it.get("type").and_then(Json::as_str) == Some(kind))?;
        let text = |field: &str| it.get(field).and_then(Json::as_str).unwrap_or_default();
        let words = match (text("reason"), text("message")) {
            ("", "") => kind.to_owned(),
            (reason, "") => reason.to_owned(),
            ("", message) => message.to_owned(),
            (reason, message) => format!("{reason}: {message}"),
        };
        let end = (0..=WORDS.min(words.len())).rev().find(|at| words.is_char_boundary(*at)).unwrap_or_default();
        Some((text("status"), words.get(..end).unwrap_or_default().to_owned()))
    }

    fn is_true(&self, kind: &str) -> Option<String> {
        self.condition(kind).filter(|(status, _)| *status == "True").map(|(_, words)| words)
    }

    fn is_false(&self, kind: &str) -> Option<String> {
        self.condition(kind).filter(|(status, _)| *status == "False").map(|(_, words)| words)
    }

    /// The first of these counts that is below what is wanted.
    fn short(&self, wanted: i64, counts: &[(&str, &str)]) -> Option<Health> {
        let (field, word) = counts.iter().find(|(field, _)| self.number(field) < wanted)?;
        Some(progressing(format!("{} of {wanted} {word}", self.number(field))))
    }

    fn deployment(&self) -> Health {
        if self.is_false("Progressing").is_some_and(|it| it.starts_with("ProgressDeadlineExceeded")) {
            return degraded(self.is_false("Progressing").unwrap_or_default());
        }
        if self.spec.get("paused") == Some(&Json::Bool(true)) {
            return suspended("paused");
        }
        let wanted = self.replicas();
        if let Some(short) = self.short(wanted, &[("replicas", "made"), ("updatedReplicas", "updated")]) {
            return short;
        }
        let surplus = self.number("replicas") - self.number("updatedReplicas");
        if surplus > 0 {
            return progressing(format!("{surplus} old ones are to end"));
        }
        if let Some(short) = self.short(wanted, &[("availableReplicas", "available"), ("readyReplicas", "ready")]) {
            return short;
        }
        match self.condition("Available") {
            Some((status, words)) if status != "True" => progressing(words),
            // Nothing was ever said of one that wants none.
            None if wanted > 0 => progressing("not yet available"),
            _ => healthy(),
        }
    }

    fn replica_set(&self) -> Health {
        if let Some(words) = self.is_true("ReplicaFailure") {
            return degraded(words);
        }
        let wanted = self.replicas();
        let counts = [("fullyLabeledReplicas", "labelled"), ("availableReplicas", "available"), ("readyReplicas", "ready")];
        if let Some(short) = self.short(wanted, &counts) {
            return short;
        }
        let surplus = self.number("replicas") - wanted;
        if surplus > 0 { progressing(format!("{surplus} are to end")) } else { healthy() }
    }

    fn stateful_set(&self) -> Health {
        let strategy = self.spec.get("updateStrategy");
        if strategy.and_then(|it| it.get("type")).and_then(Json::as_str) == Some("OnDelete") {
            return healthy();
        }
        let wanted = self.replicas();
        if let Some(short) = self.short(wanted, &[("replicas", "made"), ("readyReplicas", "ready")]) {
            return short;
        }
        let surplus = self.number("replicas") - wanted;
        if surplus > 0 {
            return progressing(format!("{surplus} are to end"));
        }
        let partition = strategy.and_then(|it| it.pointer("/rollingUpdate/partition")).and_then(Json::as_i64).unwrap_or_default();
        if partition > 0 {
            return self.short((wanted - partition).max(0), &[("updatedReplicas", "updated")]).unwrap_or_else(healthy);
        }
        if let Some(short) = self.short(wanted, &[("currentReplicas", "current")]) {
            return short;
        }
        if self.text("currentRevision") == self.text("updateRevision") {
            healthy()
        } else {
            progressing("rolling to another revision")
        }
    }

    fn daemon_set(&self) -> Health {
        if self.status.get("observedGeneration").is_none() {
            return progressing("not looked at yet");
        }
        let wanted = self.number("desiredNumberScheduled");
        let counts = [
            ("currentNumberScheduled", "scheduled"),
            ("updatedNumberScheduled", "updated"),
            ("numberAvailable", "available"),
            ("numberReady", "ready"),
        ];
        self.short(wanted, &counts).unwrap_or_else(healthy)
    }

    fn job(&self) -> Health {
        if let Some(words) = self.is_true("Failed") {
            return degraded(words);
        }
        if self.is_true("Complete").is_some() {
            return healthy();
        }
        if self.is_true("Suspended").is_some() || self.spec.get("suspend") == Some(&Json::Bool(true)) {
            return suspended("suspended");
        }
        // To kstatus a Job is current once it has begun; who waits for one waits for its end.
        if self.status.get("startTime").is_none() {
            return progressing("not started");
        }
        let (active, done, failed) = (self.number("active"), self.number("succeeded"), self.number("failed"));
        progressing(format!("{active} running, {done} done, {failed} failed"))
    }

    fn pod(&self) -> Health {
        match self.text("phase") {
            "Succeeded" => healthy(),
            "Failed" => degraded(self.condition("Ready").map_or_else(|| "failed".to_owned(), |(_, words)| words)),
            "Running" if self.is_true("Ready").is_some() => healthy(),
            phase => match self.stuck() {
                Some(why) => degraded(why),
                None if phase == "Running" => progressing("running, not ready"),
                None => {
                    let why = self.is_false("PodScheduled").map(|it| format!(": {it}")).unwrap_or_default();
                    progressing(format!("{}{why}", if phase.is_empty() { "not scheduled" } else { "pending" }))
                }
            },
        }
    }

    /// A container that only a change can help.
    fn stuck(&self) -> Option<String> {
        let lists = ["initContainerStatuses", "containerStatuses"].map(|it| self.status.get(it).and_then(Json::as_array));
        let mut all = lists.into_iter().flatten().flatten();
        all.find_map(|it| {
            let reason = it.pointer("/state/waiting/reason")?.as_str()?;
            let stuck = matches!(
                reason,
                "CrashLoopBackOff" | "ImagePullBackOff" | "ErrImagePull" | "InvalidImageName" | "CreateContainerConfigError"
            );
            let name = it.get("name").and_then(Json::as_str).unwrap_or_default();
            stuck.then(|| format!("container `{name}`: {reason}"))
        })
    }

    fn claim(&self) -> Health {
        match self.text("phase") {
            "Bound" => healthy(),
            "Lost" => degraded("its volume is lost"),
            _ => progressing("not bound"),
        }
    }

    fn volume(&self) -> Health {
        if self.text("phase") == "Failed" { degraded("could not be reclaimed") } else { healthy() }
    }

    fn service(&self) -> Health {
        let balanced = self.spec.get("type").and_then(Json::as_str) == Some("LoadBalancer");
        let known = self.status.pointer("/loadBalancer/ingress").and_then(Json::as_array).is_some_and(|it| !it.is_empty());
        if balanced && !known { progressing("the load balancer has no address") } else { healthy() }
    }

    fn budget(&self) -> Health {
        let (wanted, has) = (self.number("desiredHealthy"), self.number("currentHealthy"));
        if has < wanted { progressing(format!("{has} of {wanted} healthy")) } else { healthy() }
    }

    fn definition(&self) -> Health {
        if let Some(words) = self.is_false("NamesAccepted") {
            return degraded(words);
        }
        if self.is_true("Established").is_some() {
            return healthy();
        }
        match self.condition("Established") {
            Some((_, words)) if !words.starts_with("Installing") && words != "Established" => degraded(words),
            _ => progressing("not established"),
        }
    }

    fn served(&self) -> Health {
        match self.condition("Available") {
            Some(("True", _)) => healthy(),
            Some((_, words)) => progressing(words),
            None => progressing("not available"),
        }
    }

    fn autoscaler(&self) -> Health {
        match self.is_false("AbleToScale") {
            Some(words) => degraded(words),
            None => healthy(),
        }
    }

    /// What any kind may say of itself: `Reconciling`, `Stalled`, `Ready`.
    fn by_conditions(&self) -> Health {
        if let Some(words) = self.is_true("Stalled") {
            return degraded(words);
        }
        if let Some(words) = self.is_true("Reconciling") {
            return progressing(words);
        }
        match self.condition("Ready") {
            Some(("True", _)) | None => healthy(),
            Some((_, words)) => progressing(words),
        }
    }
}

/// Words for an object that is to go.
pub fn going(object: &Object) -> String {
    match object.meta.finalizers.as_slice() {
        [] => "being deleted".to_owned(),
        some => format!("being deleted, held by {}", some.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use trueup_sdk::json;

    use super::*;

    #[track_caller]
    fn check(kind: &str, object: Json, want: HealthState, words: &str) {
        let got = assess(kind, &Object::parse(object.to_string().as_bytes()).unwrap());
        assert!(got.state == want && got.message.contains(words), "{kind} {object}: {got:?}");
    }

    fn ready(kind: &str, status: &str) -> Json {
        json!([{ "type": kind, "status": status, "reason": "Why", "message": "so" }])
    }

    use HealthState::{Degraded, Healthy, Progressing, Suspended};

    #[test]
    fn a_deployment_is_healthy_once_all_are_new_and_available() {
        let of = |spec: Json, status: Json| json!({ "metadata": { "generation": 2 }, "spec": spec, "status": status });
        let full = json!({ "observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, "readyReplicas": 2, "conditions": ready("Available", "True") });
        let with = |field: &str, value: Json| {
            let mut status = full.clone();
            status[field] = value;
            of(json!({ "replicas": 2 }), status)
        };
        let kind = "Deployment.apps";
        check(kind, of(json!({ "replicas": 2 }), full.clone()), Healthy, "");
        check(kind, of(json!({}), Json::Null), Progressing, "0 of 1 made");
        check(kind, with("observedGeneration", json!(1)), Progressing, "generation 2 is not looked at yet");
        check(kind, with("updatedReplicas", json!(1)), Progressing, "1 of 2 updated");
        check(kind, with("replicas", json!(3)), Progressing, "1 old ones are to end");
        check(kind, with("availableReplicas", json!(0)), Progressing, "0 of 2 available");
        check(kind, with("readyReplicas", json!(1)), Progressing, "1 of 2 ready");
        check(kind, with("conditions", ready("Available", "False")), Progressing, "Why: so");
        let late = json!([{ "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded" }]);
        check(kind, with("conditions", late), Degraded, "ProgressDeadlineExceeded");
        check(kind, of(json!({ "paused": true }), Json::Null), Suspended, "paused");
        check(kind, of(json!({ "replicas": 0 }), json!({ "observedGeneration": 2 })), Healthy, "");
    }

    #[test]
    fn sets_are_healthy_once_all_are_ready() {
        check(
            "ReplicaSet.apps",
            json!({ "spec": { "replicas": 1 }, "status": { "fullyLabeledReplicas": 1, "availableReplicas": 1, "readyReplicas": 1, "replicas": 1 } }),
            Healthy,
            "",
        );
        check(
            "ReplicaSet.apps",
            json!({ "spec": { "replicas": 2 }, "status": { "fullyLabeledReplicas": 1 } }),
            Progressing,
            "1 of 2 labelled",
        );
        check("ReplicaSet.apps", json!({ "status": { "conditions": ready("ReplicaFailure", "True") } }), Degraded, "Why: so");
        check("ReplicaSet.apps", json!({ "spec": { "replicas": 0 }, "status": { "replicas": 1 } }), Progressing, "1 are to end");
        let full =
            json!({ "replicas": 2, "readyReplicas": 2, "currentReplicas": 2, "currentRevision": "a", "updateRevision": "a" });
        check("StatefulSet.apps", json!({ "spec": { "replicas": 2 }, "status": full }), Healthy, "");
        check(
            "StatefulSet.apps",
            json!({ "spec": { "replicas": 2 }, "status": { "replicas": 2, "readyReplicas": 1 } }),
            Progressing,
            "1 of 2 ready",
        );
        check(
            "StatefulSet.apps",
            json!({ "spec": { "replicas": 1 }, "status": { "replicas": 1, "readyReplicas": 1, "currentReplicas": 1, "currentRevision": "a", "updateRevision": "b" } }),
            Progressing,
            "rolling",
        );
        check(
            "StatefulSet.apps",
            json!({ "spec": { "replicas": 3, "updateStrategy": { "rollingUpdate": { "partition": 2 } } }, "status": { "replicas": 3, "readyReplicas": 3, "updatedReplicas": 0 } }),
            Progressing,
            "0 of 1 updated",
        );
        check("StatefulSet.apps", json!({ "spec": { "updateStrategy": { "type": "OnDelete" } } }), Healthy, "");
        let all = json!({ "observedGeneration": 1, "desiredNumberScheduled": 3, "currentNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 3, "numberReady": 3 });
        check("DaemonSet.apps", json!({ "metadata": { "generation": 1 }, "status": all }), Healthy, "");
        check("DaemonSet.apps", json!({}), Progressing, "not looked at yet");
        check(
            "DaemonSet.apps",
            json!({ "status": { "observedGeneration": 1, "desiredNumberScheduled": 3, "currentNumberScheduled": 3, "updatedNumberScheduled": 1 } }),
            Progressing,
            "1 of 3 updated",
        );
    }

    #[test]
    fn jobs_and_pods_end_well_or_not() {
        check("Job.batch", json!({}), Progressing, "not started");
        check("Job.batch", json!({ "status": { "startTime": "x", "active": 1 } }), Progressing, "1 running");
        check("Job.batch", json!({ "status": { "conditions": ready("Complete", "True") } }), Healthy, "");
        check("Job.batch", json!({ "status": { "conditions": ready("Failed", "True") } }), Degraded, "Why: so");
        check("Job.batch", json!({ "spec": { "suspend": true } }), Suspended, "");
        check("CronJob.batch", json!({ "spec": { "suspend": true } }), Suspended, "");
        check("CronJob.batch", json!({}), Healthy, "");
        check("Pod", json!({ "status": { "phase": "Succeeded" } }), Healthy, "");
        check("Pod", json!({ "status": { "phase": "Failed" } }), Degraded, "failed");
        check("Pod", json!({ "status": { "phase": "Running", "conditions": ready("Ready", "True") } }), Healthy, "");
        check(
            "Pod",
            json!({ "status": { "phase": "Running", "conditions": ready("Ready", "False") } }),
            Progressing,
            "not ready",
        );
        check(
            "Pod",
            json!({ "status": { "phase": "Pending", "conditions": ready("PodScheduled", "False") } }),
            Progressing,
            "pending: Why: so",
        );
        let loops = json!([{ "name": "web", "state": { "waiting": { "reason": "CrashLoopBackOff" } } }]);
        check(
            "Pod",
            json!({ "status": { "phase": "Running", "containerStatuses": loops } }),
            Degraded,
            "container `web`: CrashLoopBackOff",
        );
    }

    #[test]
    fn claims_services_definitions_and_the_rest() {
        check("PersistentVolumeClaim", json!({ "status": { "phase": "Bound" } }), Healthy, "");
        check("PersistentVolumeClaim", json!({ "status": { "phase": "Pending" } }), Progressing, "not bound");
        check("PersistentVolumeClaim", json!({ "status": { "phase": "Lost" } }), Degraded, "lost");
        check("PersistentVolume", json!({ "status": { "phase": "Failed" } }), Degraded, "");
        check("Service", json!({ "spec": { "type": "ClusterIP" } }), Healthy, "");
        check(
            "Service",
            json!({ "spec": { "type": "LoadBalancer" }, "status": { "loadBalancer": {} } }),
            Progressing,
            "no address",
        );
        check(
            "Service",
            json!({ "spec": { "type": "LoadBalancer" }, "status": { "loadBalancer": { "ingress": [{ "ip": "1.2.3.4" }] } } }),
            Healthy,
            "",
        );
        check("Ingress.networking.k8s.io", json!({ "status": { "loadBalancer": {} } }), Healthy, "");
        check(
            "PodDisruptionBudget.policy",
            json!({ "status": { "desiredHealthy": 2, "currentHealthy": 1 } }),
            Progressing,
            "1 of 2 healthy",
        );
        let crd = "CustomResourceDefinition.apiextensions.k8s.io";
        check(crd, json!({}), Progressing, "not established");
        check(crd, json!({ "status": { "conditions": ready("Established", "True") } }), Healthy, "");
        check(crd, json!({ "status": { "conditions": ready("NamesAccepted", "False") } }), Degraded, "Why: so");
        let api = "APIService.apiregistration.k8s.io";
        check(api, json!({ "status": { "conditions": ready("Available", "True") } }), Healthy, "");
        check(api, json!({ "status": { "conditions": ready("Available", "False") } }), Progressing, "Why: so");
        check(
            "HorizontalPodAutoscaler.autoscaling",
            json!({ "status": { "conditions": ready("AbleToScale", "False") } }),
            Degraded,
            "",
        );
        check("Widget.example.com", json!({}), Healthy, "");
        check("Widget.example.com", json!({ "status": { "conditions": ready("Ready", "False") } }), Progressing, "Why: so");
        check("Widget.example.com", json!({ "status": { "conditions": ready("Stalled", "True") } }), Degraded, "Why: so");
        check("Widget.example.com", json!({ "status": { "conditions": ready("Reconciling", "True") } }), Progressing, "Why: so");
        check(
            "Widget.example.com",
            json!({ "metadata": { "generation": 3 }, "status": { "observedGeneration": 2 } }),
            Progressing,
            "generation 3",
        );
        check("Namespace", json!({ "status": { "phase": "Terminating" } }), Progressing, "terminating");
        let going = json!({ "metadata": { "deletionTimestamp": "x", "finalizers": ["a/b"] }, "status": { "phase": "Bound" } });
        check("PersistentVolumeClaim", going, Progressing, "held by a/b");
    }

    #[test]
    fn what_does_not_get_better_by_itself_is_told_where_the_word_is_about_this_declaration() {
        let failed = json!({"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]});
        let stalled = |generation: Option<i64>| {
            let mut status = json!({"conditions": [{"type": "Stalled", "status": "True"}]});
            if let Some(seen) = generation {
                status["observedGeneration"] = json!(seen);
            }
            status
        };
        let waiting = json!({"state": {"waiting": {"reason": "CrashLoopBackOff"}}});
        for (kind, status, want) in [
            ("Job.batch", failed, true),
            ("Job.batch", json!({"active": 1, "startTime": "2026-01-01T00:00:00Z"}), false),
            ("Widget.example.com", stalled(Some(2)), true),
            ("Widget.example.com", stalled(Some(1)), false),
            ("Widget.example.com", stalled(None), false),
            ("Pod", json!({"phase": "Failed"}), true),
            ("Pod", json!({"phase": "Running", "observedGeneration": 2, "containerStatuses": [waiting]}), false),
        ] {
            let object = json!({"metadata": {"generation": 2}, "status": status});
            let object = Object::parse(object.to_string().as_bytes()).unwrap();
            let health = assess(kind, &object);
            assert_eq!(is_stalled(kind, &object, &health), want, "{kind} {status}: {health:?}");
        }
    }
}
