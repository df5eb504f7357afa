//! What a server is to the provider: zones that can be seen, looked into and changed.

use std::rc::Rc;

use trueup_sdk::Result;

use crate::document::Zone;
use crate::name::Name;
use crate::rdata::Type;
use crate::set::RecordSet;

/// One record set as a server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub name: Name,
    pub rtype: Type,
    /// The canonical document, as text.
    pub doc: String,
    /// What must be known to change the set and does not stand in its document.
    pub version: Option<String>,
    /// It holds what a change would lose, so that who claims a whole zone does not mean it.
    pub unclaimed: bool,
}

/// What is to be known of one zone.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    pub zone: &'a Name,
    /// The version that is known.
    pub since: Option<&'a str>,
}

/// What a server says of one zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum View {
    /// The server does not have it.
    Missing,
    /// It is as it was at the version that was named.
    Unchanged,
    /// All of it.
    Whole(Rc<Contents>),
    /// What moved since the version that was named.
    Delta { sets: Vec<Seen>, gone: Vec<(Name, Type)>, version: String },
}

/// A zone as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// How the server replicates the zone, where it says so.
    pub kind: Option<String>,
    /// Without SOA and what the server writes when it signs.
    pub sets: Vec<Seen>,
    pub version: String,
    /// Sets that are left alone as nobody here knows their type, by name.
    pub unknown: Vec<String>,
}

/// One change of one set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetChange {
    pub name: Name,
    pub rtype: Type,
    /// As it was observed; none where it was not there.
    pub before: Option<RecordSet>,
    /// As it shall be; none where it goes.
    pub after: Option<RecordSet>,
    /// [`Seen::version`] of what was observed.
    pub version: Option<String>,
}

/// What a back end can do. Each function answers its list in order, and one bad item never fails its neighbours.
pub trait Backend {
    /// Looks at whole zones. Reads only.
    fn observe(&self, asks: &[Ask<'_>]) -> Vec<Result<View>>;

    /// Looks at sets of one zone; none where a set is not there. Reads only.
    ///
    /// # Errors
    /// Where the server cannot be asked. A zone that is not there has no sets.
    fn look(&self, zone: &Name, sets: &[(Name, Type)]) -> Result<Vec<Option<Seen>>>;

    /// The kind of a zone as far as the server has one; none where the zone is not there. Reads only.
    ///
    /// # Errors
    /// Where the server cannot be asked.
    fn look_at_zone(&self, zone: &Name) -> Result<Option<Option<String>>>;

    /// Whether a change takes effect only while its set still is what was observed.
    fn is_guarded(&self) -> bool;

    /// Changes sets of one zone in as few requests as possible.
    fn change(&self, zone: &Name, changes: &[SetChange]) -> Vec<Result<()>>;

    /// Makes a zone.
    ///
    /// # Errors
    /// Where the server cannot or will not.
    fn create_zone(&self, zone: &Zone) -> Result<()>;

    /// Changes how a zone is kept.
    ///
    /// # Errors
    /// As [`create_zone`](Self::create_zone).
    fn update_zone(&self, zone: &Zone) -> Result<()>;

    /// Removes a zone that holds nothing but what the server needs.
    ///
    /// # Errors
    /// As [`create_zone`](Self::create_zone), and where something stands in the zone.
    fn delete_zone(&self, zone: &Name) -> Result<()>;
}
