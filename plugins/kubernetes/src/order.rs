//! In which order kinds are made where nothing else says so: what others need comes first, what judges or serves others comes late.
//!
//! The numbers are the `order` of the kinds: a smaller one is made earlier and deleted later. They are Helm's and Argo CD's order,
//! in steps that leave room.

/// What everything else stands in or is made of.
const FIRST: i64 = -40;
/// Rules that hold for what comes after them: quotas, limits, priorities, classes.
const RULES: i64 = -30;
/// Who may do what.
const RIGHTS: i64 = -20;
/// What workloads read and mount.
const DATA: i64 = -10;
const USUAL: i64 = 0;
/// What leads to workloads, or scales them.
const AROUND: i64 = 10;
/// What is asked at every later change, and fails them where it does not run yet.
const LATE: i64 = 40;

/// The order of a kind.
pub fn of(kind: &str, group: &str) -> i64 {
    match (group, kind) {
        ("", "Namespace") | ("apiextensions.k8s.io", "CustomResourceDefinition") => FIRST,
        ("", "ResourceQuota" | "LimitRange")
        | ("scheduling.k8s.io", "PriorityClass")
        | ("storage.k8s.io", "StorageClass" | "CSIDriver")
        | ("node.k8s.io", "RuntimeClass")
        | ("networking.k8s.io", "NetworkPolicy" | "IngressClass") => RULES,
        ("", "ServiceAccount") | ("rbac.authorization.k8s.io", _) => RIGHTS,
        ("", "ConfigMap" | "Secret" | "PersistentVolume" | "PersistentVolumeClaim" | "Service") => DATA,
        ("networking.k8s.io", "Ingress") | ("autoscaling", _) | ("policy", _) => AROUND,
        ("admissionregistration.k8s.io", _) | ("apiregistration.k8s.io", _) => LATE,
        _ => USUAL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_and_definitions_come_first_and_webhooks_last() {
        let order = [
            ("Namespace", ""),
            ("ResourceQuota", ""),
            ("ServiceAccount", ""),
            ("ConfigMap", ""),
            ("Deployment", "apps"),
            ("Ingress", "networking.k8s.io"),
            ("ValidatingWebhookConfiguration", "admissionregistration.k8s.io"),
        ];
        let numbers: Vec<i64> = order.iter().map(|(kind, group)| of(kind, group)).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
        assert_eq!(of("CustomResourceDefinition", "apiextensions.k8s.io"), of("Namespace", ""));
        assert_eq!(of("APIService", "apiregistration.k8s.io"), LATE);
        assert_eq!(of("Namespace", "example.com"), USUAL, "another group's kind of that name is any kind");
    }
}
