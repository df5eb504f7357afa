//! The meaning of codes: what the services document for their operations, what EC2 lists, and what is common to all.
//!
//! - <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html>
//! - <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>
//! - <https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html>
//! - <https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html>
//!
//! A code is looked at without `Exception` at its end and `Client.` or `Server.` at its begin, by which services and generations of
//! APIs differ and nothing else.

use super::{Class, Refusal};

/// What a code means; none where it is not known, and the status has to do.
pub fn class(refusal: &Refusal) -> Option<Class> {
    let code = refusal.code.as_str();
    let code = code.strip_prefix("Client.").or_else(|| code.strip_prefix("Server.")).unwrap_or(code);
    let code = code.strip_suffix("Exception").unwrap_or(code);
    special(refusal, code).or_else(|| exact(code)).or_else(|| shaped(code))
}

/// Codes that mean one thing here and another there.
fn special(refusal: &Refusal, code: &str) -> Option<Class> {
    let creates = refusal.operation.starts_with("Create");
    Some(match (refusal.service, code) {
        // A cluster, a node group, a table of this name: both services say "in use" for "exists".
        ("dynamodb" | "eks", "ResourceInUse") if creates => Class::Exists,
        // A table that is not ACTIVE.
        ("dynamodb", "ResourceInUse") => Class::Busy,
        // Too many tables that are being created or changed at the same time.
        ("dynamodb", "LimitExceeded") => Class::Throttled,
        ("lambda", "ResourceConflict") if creates => Class::Exists,
        ("lambda", "ResourceConflict") => Class::Busy,
        // The condition of the check is in the message, and the code is that of a wrong key.
        (_, "SignatureDoesNotMatch" | "InvalidSignature") if is_late(&refusal.message) => Class::Skewed,
        _ => return None,
    })
}

/// "Signature expired: … is now earlier than …", "Signature not yet current: …".
fn is_late(message: &str) -> bool {
    message.contains("Signature expired") || message.contains("Signature not yet current")
}

fn exact(code: &str) -> Option<Class> {
    Some(match code {
        "Throttling"
        | "Throttled"
        | "RequestThrottled"
        | "EC2Throttled"
        | "TooManyRequests"
        | "RequestLimitExceeded"
        | "BandwidthLimitExceeded"
        | "ProvisionedThroughputExceeded"
        | "ReplayLimitExceeded"
        | "SlowDown" => Class::Throttled,
        "InternalError"
        | "InternalFailure"
        | "InternalServerError"
        | "InternalServer"
        | "InternalService"
        | "InternalServiceError"
        | "KMSInternal"
        | "Server"
        | "Service"
        | "ServiceFailure"
        | "ServiceUnavailable"
        | "Unavailable"
        | "HealthUnavailable"
        | "DependencyTimeout"
        | "RequestTimeout"
        | "IncompleteBody"
        | "InsufficientInstanceCapacity"
        | "InsufficientHostCapacity"
        | "ServiceLinkedRoleFailure" => Class::Transient,
        "ConcurrentAccess"
        | "ConcurrentModification"
        | "OperationAborted"
        | "ResourceContention"
        | "PriorRequestNotComplete"
        | "TooManyUpdates"
        | "StaleTag"
        | "ScalingActivityInProgress"
        | "InstanceRefreshInProgress"
        | "CapacityReservationPending"
        | "QueueDeletedRecently"
        | "IncorrectState"
        | "IncorrectInstanceState"
        | "IncorrectModificationState"
        | "TrustStoreNotReady"
        | "ContinuousBackupsUnavailable"
        | "TransactionInProgress" => Class::Busy,
        "ExpiredToken" | "TokenRefreshRequired" => Class::Expired,
        "RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture" => Class::Skewed,
        "AccessDenied"
        | "AccessDeniedForDependency"
        | "AccountProblem"
        | "AllAccessDisabled"
        | "AuthFailure"
        | "AuthorizationError"
        | "Blocked"
        | "Forbidden"
        | "IncompleteSignature"
        | "InvalidAccessKeyId"
        | "InvalidClientTokenId"
        | "InvalidSecurity"
        | "InvalidSignature"
        | "InvalidToken"
        | "KMSAccessDenied"
        | "KMS.AccessDenied"
        | "MissingAuthenticationToken"
        | "NotAuthorized"
        | "NotSignedUp"
        | "OptInRequired"
        | "PendingVerification"
        | "SignatureDoesNotMatch"
        | "SubscriptionRequired"
        | "UnauthorizedOperation"
        | "UnrecognizedClient" => Class::Unauthorized,
        "IdempotentParameterMismatch" | "IdempotencyParameterMismatch" | "IdempotentMismatch" => Class::IdempotentMismatch,
        "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraint"
        | "IncorrectEndpoint"
        | "PermanentRedirect"
        | "Redirect"
        | "TemporaryRedirect" => Class::Redirected,
        "InvalidAction" | "MethodNotAllowed" | "NotImplemented" | "UnknownOperation" | "UnsupportedOperation" => {
            Class::Unsupported
        }
        "DryRunOperation" => Class::DryRun,
        _ => return objects(code),
    })
}

/// Codes about objects that do not follow the forms of [`shaped`].
fn objects(code: &str) -> Option<Class> {
    Some(match code {
        "DependencyViolation" | "DeleteConflict" | "ResourceInUse" | "VolumeInUse" => Class::Dependency,
        "BucketAlreadyOwnedByYou"
        | "ConflictingDomainExists"
        | "DuplicateListener"
        | "DuplicateLoadBalancerName"
        | "DuplicateTargetGroupName"
        | "QueueNameExists"
        | "ResourceExists"
        | "Resource.AlreadyAssociated" => Class::Exists,
        // An image that was deregistered; a gateway that is attached to nothing.
        "InvalidAMIID.Unavailable" | "Gateway.NotAttached" => Class::NotFound,
        "BucketNotEmpty" | "HostedZoneNotEmpty" | "RepositoryNotEmpty" => Class::Dependency,
        "Conflict"
        | "CustomKeyStoreInvalidState"
        | "Disabled"
        | "InvalidObjectState"
        | "InvalidState"
        | "KMSInvalidState"
        | "OptimisticLock"
        | "PreconditionFailed"
        | "ConditionalRequestConflict"
        | "ResourceConflict" => Class::Conflict,
        "CodeStorageExceeded" | "InsufficientFreeAddressesInSubnet" | "OverLimit" | "TargetGroupAssociationLimit" => Class::Quota,
        _ => return None,
    })
}

/// Families of codes: `InvalidVpcID.NotFound`, `NoSuchEntity`, `EntityAlreadyExists`, `VpcLimitExceeded`, `TooManyTags`.
fn shaped(code: &str) -> Option<Class> {
    let last = code.rsplit('.').next().unwrap_or(code);
    let begins = |with: &[&str]| with.iter().any(|it| last.starts_with(it));
    let ends = |with: &[&str]| with.iter().any(|it| last.ends_with(it));
    if begins(&["NoSuch", "NonExistent"]) || ends(&["NotFound", "NotFoundError", "DoesNotExist"]) {
        Some(Class::NotFound)
    } else if ends(&["AlreadyExists"]) || last == "Duplicate" {
        Some(Class::Exists)
    } else if last == "InUse" {
        Some(Class::Dependency)
    } else if ends(&["LimitExceeded", "QuotaExceeded"]) || begins(&["TooMany"]) {
        Some(Class::Quota)
    } else if last == "Conflict" {
        Some(Class::Conflict)
    } else if ends(&["Malformed"]) || begins(&["Invalid", "Malformed", "Missing", "Validation"]) {
        Some(Class::Invalid)
    } else {
        None
    }
}
