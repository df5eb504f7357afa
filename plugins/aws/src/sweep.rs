//! Tags of many objects of many kinds at once, by the tagging API: what lists of a kind do not tell.
//!
//! Only objects with the engine's mark are asked for. Others have tags that nobody here wrote; who needs them reads the object.

use std::collections::{BTreeSet, HashMap};

use trueup_sdk::{Json, json};

use crate::client::{self, Call, Failed};
use crate::kind::Kind;
use crate::object::Object;
use crate::provider::Aws;
use crate::template::Known;
use crate::{field, path, tags};

/// By ARN, the tags of every marked object; none where they could not be had.
pub type Swept = HashMap<String, Json>;

/// Kinds of resources that the tagging API is asked for, all in one listing.
pub type Types = BTreeSet<&'static str>;

impl Aws {
    /// The listing that tells the tags of these kinds, if one of them needs it.
    pub fn sweep(&self, kinds: impl Iterator<Item = &'static Kind>) -> Option<Call> {
        let types: Types = kinds.filter_map(|it| it.tags.as_ref()?.sweep.as_ref()).map(|it| it.types.as_str()).collect();
        if types.is_empty() {
            return None;
        }
        let input = json!({ "TagFilters": [{ "Key": tags::MARK }], "ResourceTypeFilters": types, "ResourcesPerPage": 100 });
        client::call(client::of("resourcegroupstaggingapi").ok()?, "GetResources", input, "tags", false).ok()
    }

    /// What the sweep told; none where it failed or there was none: the objects are then read one by one.
    pub fn swept(&self, pages: Option<Result<Vec<Json>, Failed>>) -> Option<Swept> {
        let pages = pages?.ok()?;
        let items = pages.iter().filter_map(|it| it.get("ResourceTagMappingList")?.as_array()).flatten();
        Some(items.filter_map(|it| Some((path::text(it, "ResourceARN")?.to_owned(), it.get("Tags")?.clone()))).collect())
    }

    /// Gives an object the tags that its list lacks, where the sweep has them.
    pub fn tag(&self, kind: &Kind, object: &mut Object, swept: Option<&Swept>) {
        let Some((tags, sweep)) = kind.tags.as_ref().and_then(|it| Some((it, it.sweep.as_ref()?))) else { return };
        let known =
            Known { identity: object.identity.clone(), name: object.key.clone(), raw: object.raw.clone(), ..Known::default() };
        let arn = known.tell(&self.config, &sweep.arn).map(|it| field::text_of(&it));
        let found = arn.and_then(|it| swept?.get(it.trim_end_matches(":*")).cloned());
        if let Some(found) = found {
            path::put(&mut object.raw, &tags.read, found);
        }
    }
}
