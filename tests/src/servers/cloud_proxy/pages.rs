//! Pages of listings: where the next one begins, and the same page with less in it.

use serde_json::Value as Json;

use super::asked::{Asked, Protocol};
use super::xml::Element;
use crate::servers::http1::{self, Message};

/// Names that begin the next page in an answer, and what a request calls them.
const NEXT: [(&str, &str); 13] = [
    ("NextToken", "NextToken"),
    ("nextToken", "nextToken"),
    ("NextMarker", "Marker"),
    ("Marker", "Marker"),
    ("PaginationToken", "PaginationToken"),
    ("LastEvaluatedTableName", "ExclusiveStartTableName"),
    ("NextContinuationToken", "continuation-token"),
    ("ContinuationToken", "continuation-token"),
    ("NextKeyMarker", "key-marker"),
    ("NextVersionIdMarker", "version-id-marker"),
    ("NextRecordName", "name"),
    ("NextRecordType", "type"),
    ("NextRecordIdentifier", "identifier"),
];

/// The request for the page after the one that `answer` is; None where it is the last, or none.
pub fn following(asked: &Asked, answer: &Message) -> Option<Message> {
    let next = next_of(asked, answer);
    if next.is_empty() { None } else { Some(at_page(asked, &next)) }
}

/// Members that a request for the next page has.
fn next_of(asked: &Asked, answer: &Message) -> Vec<(String, String)> {
    let text = answer.text();
    let known = |name: &str, value: &str| {
        let (_, called) = NEXT.iter().find(|it| it.0 == name).filter(|_| !value.is_empty())?;
        // Two ways of saying the same.
        let called = match (asked.protocol, asked.service.as_str()) {
            (Protocol::Ec2, _) => "NextToken",
            (Protocol::RestXml, "route53") if *called == "Marker" => "marker",
            _ => called,
        };
        Some((called.to_owned(), value.to_owned()))
    };
    match serde_json::from_str::<Json>(&text) {
        Ok(Json::Object(map)) => map.iter().filter_map(|(name, value)| known(name, value.as_str()?)).collect(),
        _ => {
            let Some(root) = Element::parse(&text) else { return Vec::new() };
            let result = root.children.iter().find(|it| it.name.ends_with("Result"));
            // The bucket says the token of this page too.
            let own =
                |it: &&Element| !(asked.service == "s3" && it.name == "ContinuationToken" && root.name == "ListBucketResult");
            let all = result.unwrap_or(&root).children.iter().filter(own);
            // A whole record set needs all its marks; a zone's list says its own marker too.
            let own = |it: &&Element| !(asked.service == "route53" && it.name == "Marker");
            all.filter(own).filter_map(|it| known(&it.name, &unescaped(it.text(&text)))).collect()
        }
    }
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

/// The request with these members for the page.
fn at_page(asked: &Asked, next: &[(String, String)]) -> Message {
    let mut message = asked.message.clone();
    let merged = |given: Vec<(String, String)>| {
        let kept = given.into_iter().filter(|it| !asked.is_page_token(&it.0) && !next.iter().any(|next| next.0 == it.0));
        http1::form(&kept.chain(next.iter().cloned()).collect::<Vec<_>>())
    };
    let in_body = matches!(asked.protocol, Protocol::Query | Protocol::Ec2) && !message.body.is_empty();
    if in_body {
        let form = merged(http1::pairs(&message.text()));
        return message.with_body(form.into_bytes());
    }
    let json = serde_json::from_slice::<Json>(&message.body).ok().filter(Json::is_object);
    if let (Protocol::Json(_), Some(mut body)) | (Protocol::RestJson, Some(mut body)) = (asked.protocol, json) {
        if let Some(members) = body.as_object_mut() {
            members.retain(|name, _| !asked.is_page_token(name));
            members.extend(next.iter().map(|(name, value)| (name.clone(), value.clone().into())));
        }
        return message.with_body(body.to_string().into_bytes());
    }
    let target = format!("{}?{}", message.path(), merged(message.query()));
    message.first = format!("{} {target} HTTP/1.1", message.method());
    message
}

/// How a token of [`paged`] begins; the number of objects before its page follows.
const OWN_TOKEN: &str = "page-after-";

/// A page of so many objects of a server that gives a whole list at once, whatever it is asked for. `server` is asked for the list.
pub fn paged(asked: &Asked, size: usize, server: impl FnOnce(&Message) -> Message) -> Message {
    let own = asked.page().into_iter().find_map(|it| it.1.strip_prefix(OWN_TOKEN)?.parse::<usize>().ok());
    let start = own.unwrap_or(0);
    let answer = server(&if own.is_some() { at_page(asked, &[]) } else { asked.message.clone() });
    let end = start + size.max(1);
    let mut count = 0;
    let page = without(&answer, |place, all, _| {
        count = all;
        place < start || place >= end
    });
    let page = page.unwrap_or(answer);
    if end < count { with_token(asked, page, &format!("{OWN_TOKEN}{end}")) } else { page }
}

/// The page, with where the next one begins.
fn with_token(asked: &Asked, page: Message, token: &str) -> Message {
    let name = match asked.service.as_str() {
        "ec2" | "logs" | "ecr" | "eks" => "nextToken",
        "kms" | "lambda" | "elbv2" => "NextMarker",
        "dynamodb" => "LastEvaluatedTableName",
        "s3" => "ContinuationToken",
        "iam" => "Marker",
        "resourcegroupstaggingapi" => "PaginationToken",
        _ => "NextToken",
    };
    let text = page.text();
    if let Ok(Json::Object(mut map)) = serde_json::from_str::<Json>(&text) {
        map.insert(name.to_owned(), token.into());
        if let Some(truncated) = map.get_mut("Truncated") {
            *truncated = true.into();
        }
        return page.with_body(Json::Object(map).to_string().into_bytes());
    }
    let Some(root) = Element::parse(&text) else { return page };
    let end = root.children.iter().find(|it| it.name.ends_with("Result")).unwrap_or(&root).inner.end;
    let mut text = text;
    text.insert_str(end, &format!("<{name}>{token}</{name}>"));
    page.with_body(text.replace("<IsTruncated>false<", "<IsTruncated>true<").into_bytes())
}

/// The answer without those of its objects that `goes` names by their place: (place, count, texts in it). None where it is no list, or
/// all stay.
pub fn without(answer: &Message, mut goes: impl FnMut(usize, usize, &[String]) -> bool) -> Option<Message> {
    let text = answer.text();
    if let Ok(mut json) = serde_json::from_str::<Json>(&text) {
        let lists = json.as_object_mut()?.values_mut().filter_map(Json::as_array_mut);
        let mut lists: Vec<_> = lists.collect();
        let (count, mut place, mut gone) = (lists.iter().map(|it| it.len()).sum(), 0, false);
        for list in &mut lists {
            list.retain(|it| {
                let mut texts = Vec::new();
                texts_of(it, &mut texts);
                let goes = goes(place, count, &texts);
                place += 1;
                gone |= goes;
                !goes
            });
        }
        return gone.then(|| answer.clone().with_body(json.to_string().into_bytes()));
    }
    let root = Element::parse(&text)?;
    let objects = objects(&root);
    let mut left = text.clone();
    // From the end, so that places before stay what they are.
    for (place, object) in objects.iter().enumerate().rev() {
        let mut texts = Vec::new();
        object.leaves(None, &mut |_, leaf| texts.push(unescaped(leaf.text(&text))));
        if goes(place, objects.len(), &texts) {
            left.replace_range(object.whole.clone(), "");
        }
    }
    (left.len() < text.len()).then(|| answer.clone().with_body(left.into_bytes()))
}

/// Objects of the lists that the answer itself has, in their order; lists in an object are the object's.
fn objects(root: &Element) -> Vec<&Element> {
    let result = root.children.iter().find(|it| it.name.ends_with("Result")).unwrap_or(root);
    let named =
        |parent: &Element, it: &Element| matches!(it.name.as_str(), "member" | "item") || parent.name == format!("{}s", it.name);
    let mut out = Vec::new();
    for child in &result.children {
        if matches!(child.name.as_str(), "Contents" | "Version" | "DeleteMarker" | "CommonPrefixes") {
            out.push(child);
        }
        out.extend(child.children.iter().filter(|it| named(child, it)));
    }
    out
}

fn texts_of(json: &Json, out: &mut Vec<String>) {
    match json {
        Json::String(text) => out.push(text.clone()),
        Json::Array(all) => all.iter().for_each(|it| texts_of(it, out)),
        Json::Object(map) => map.values().for_each(|it| texts_of(it, out)),
        _ => {}
    }
}

/// Whether a text of an object is this name, or ends with it as an ARN or a URL does.
pub fn names(text: &str, name: &str) -> bool {
    text.strip_suffix(name).is_some_and(|it| it.is_empty() || it.ends_with(['/', ':']))
}

/// What the request made is called, by its own words and the answer's: names, ids, ARNs. Empty where it made nothing that is known.
pub fn made(asked: &Asked, answer: &Message) -> Vec<String> {
    if asked.is_read() || answer.status() >= 300 {
        return Vec::new();
    }
    let Some(noun) = noun(asked) else { return Vec::new() };
    let mut out = Vec::new();
    let is_id = |name: &str| {
        let name = name.to_lowercase();
        let of = ["id", "arn", "url"].iter().find_map(|it| name.strip_suffix(it));
        // `groupId` is the id of a security group; `vpcId` in it is not.
        of.is_some_and(|it| it.len() > 2 && noun.ends_with(it))
    };
    for (name, value) in asked.members() {
        let name = name.to_lowercase();
        if name == "name" || name == format!("{noun}name") {
            out.push(value);
        }
    }
    if asked.service == "s3" {
        out.push(http1::unescape(asked.message.path()).trim_matches('/').to_owned());
    }
    let text = answer.text();
    if let Ok(json) = serde_json::from_str::<Json>(&text) {
        ids_of(&json, "", &noun, &is_id, &mut out);
    } else if let Some(root) = Element::parse(&text) {
        root.leaves(None, &mut |parent, leaf| {
            let own = leaf.name == "Id" && parent.is_some_and(|it| it.name.to_lowercase() == noun);
            if own || is_id(&leaf.name) {
                out.push(unescaped(leaf.text(&text)));
            }
        });
    }
    out.retain(|it| !it.is_empty());
    out.sort();
    out.dedup();
    out
}

fn ids_of(json: &Json, parent: &str, noun: &str, is_id: &impl Fn(&str) -> bool, out: &mut Vec<String>) {
    match json {
        Json::Object(map) => {
            for (name, value) in map {
                match value.as_str() {
                    Some(text) if is_id(name) || name == "Id" && parent.to_lowercase() == *noun => out.push(text.to_owned()),
                    Some(_) => {}
                    None => ids_of(value, name, noun, is_id, out),
                }
            }
        }
        Json::Array(all) => all.iter().for_each(|it| ids_of(it, parent, noun, is_id, out)),
        _ => {}
    }
}

/// What kind of thing the request makes, in lower case: `queue` of `CreateQueue`, `function` of `POST /2015-03-31/functions`.
fn noun(asked: &Asked) -> Option<String> {
    let (method, path) = (asked.message.method(), asked.message.path());
    let noun = match asked.protocol {
        // A bucket, and neither what is in it nor what is said of it.
        Protocol::RestXml if asked.service == "s3" => {
            let whole = method == "PUT" && path.trim_matches('/').split('/').count() == 1 && !asked.operation.contains('?');
            return whole.then(|| "bucket".to_owned());
        }
        Protocol::RestJson | Protocol::RestXml if method != "POST" => return None,
        Protocol::RestJson | Protocol::RestXml => path.trim_end_matches('/').rsplit('/').next()?.replace('-', ""),
        _ => {
            let verbs = ["Create", "Put", "Run", "Allocate", "Register", "Import"];
            let noun = verbs.iter().find_map(|it| asked.operation.strip_prefix(it))?.to_lowercase();
            if noun == "address" {
                return Some("allocation".to_owned());
            }
            if noun == "metricalarm" { "alarm".to_owned() } else { noun }
        }
    };
    let noun = noun.to_lowercase();
    Some(noun.strip_suffix('s').filter(|it| !it.ends_with('s')).unwrap_or(&noun).to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::asked::tests::{asked, form, json};
    use super::*;

    fn answer(body: &str) -> Message {
        Message::answer(200, &[], body)
    }

    fn left(body: &str, gone: usize) -> String {
        let dropped = without(&answer(body), |place, count, _| place + gone >= count);
        dropped.map_or_else(|| body.to_owned(), |it| it.text())
    }

    #[test]
    fn the_last_objects_of_a_page_are_dropped_in_every_protocol() {
        assert_eq!(left(r#"{"NextToken":"t","QueueUrls":["a","b","c"]}"#, 1), r#"{"NextToken":"t","QueueUrls":["a","b"]}"#);
        let query = "<R><RResult><Roles><member><Tags><member>x</member></Tags></member><member>b</member></Roles></RResult></R>";
        assert_eq!(left(query, 1), query.replace("<member>b</member>", ""));
        let ec2 = "<R><vpcSet><item><tagSet><item>x</item></tagSet></item><item><vpcId>v</vpcId></item></vpcSet></R>";
        assert_eq!(left(ec2, 1), ec2.replace("<item><vpcId>v</vpcId></item>", ""));
        let s3 = "<ListBucketResult><Name>b</Name><Contents><Key>a</Key></Contents><Contents><Key>b</Key></Contents></ListBucketResult>";
        assert_eq!(left(s3, 1), s3.replace("<Contents><Key>b</Key></Contents>", ""));
        let zones = "<L><HostedZones><HostedZone><Id>1</Id></HostedZone><HostedZone><Id>2</Id></HostedZone></HostedZones></L>";
        assert_eq!(left(zones, 2), "<L><HostedZones></HostedZones></L>");
    }

    #[test]
    fn lists_of_an_object_are_not_the_lists_of_the_page() {
        let one = r#"{"Table":{"AttributeDefinitions":[{"AttributeName":"a"}]}}"#;
        assert_eq!(left(one, 1), one);
    }

    #[test]
    fn what_is_hidden_is_hidden_by_its_whole_name() {
        let body = r#"{"QueueUrls":["http://x/1/ab","http://x/1/b"]}"#;
        let hidden = without(&answer(body), |_, _, texts| texts.iter().any(|it| names(it, "b"))).unwrap();
        assert_eq!(hidden.text(), r#"{"QueueUrls":["http://x/1/ab"]}"#);
        assert!(without(&answer(body), |_, _, texts| texts.iter().any(|it| names(it, "c"))).is_none());
    }

    #[test]
    fn the_next_page_is_asked_for_in_the_words_of_the_protocol() {
        let body = |asked: &Asked, text: &str| following(asked, &answer(text)).unwrap();
        let queues = json("sqs", "AmazonSQS.ListQueues", r#"{"NextToken":"one"}"#);
        assert_eq!(body(&queues, r#"{"NextToken":"two"}"#).text(), r#"{"NextToken":"two"}"#);
        let roles = form("iam", "Action=ListRoles&Marker=one");
        let next = body(&roles, "<R><RResult><Roles/><IsTruncated>true</IsTruncated><Marker>t&amp;o</Marker></RResult></R>");
        assert_eq!(next.text(), "Action=ListRoles&Marker=t%26o");
        let vpcs = form("ec2", "Action=DescribeVpcs");
        assert_eq!(body(&vpcs, "<R><vpcSet/><nextToken>two</nextToken></R>").text(), "Action=DescribeVpcs&NextToken=two");
        let objects = asked("GET", "/b?list-type=2&continuation-token=one", "s3", &[], "");
        let page = "<ListBucketResult><ContinuationToken>one</ContinuationToken><NextContinuationToken>two</NextContinuationToken></ListBucketResult>";
        assert_eq!(body(&objects, page).target(), "/b?list-type=2&continuation-token=two");
        let zones = asked("GET", "/2013-04-01/hostedzone?marker=one", "route53", &[], "");
        let page = "<L><HostedZones/><Marker>one</Marker><NextMarker>two</NextMarker></L>";
        assert_eq!(body(&zones, page).target(), "/2013-04-01/hostedzone?marker=two");
        let sets = asked("GET", "/2013-04-01/hostedzone/Z1/rrset", "route53", &[], "");
        let page = "<L><NextRecordName>b.com.</NextRecordName><NextRecordType>A</NextRecordType></L>";
        assert_eq!(body(&sets, page).target(), "/2013-04-01/hostedzone/Z1/rrset?name=b.com.&type=A");
        let clusters = asked("GET", "/clusters?maxResults=2", "eks", &[], "");
        assert_eq!(body(&clusters, r#"{"clusters":[],"nextToken":"n"}"#).target(), "/clusters?maxResults=2&nextToken=n");
        assert_eq!(following(&queues, &answer(r#"{"QueueUrls":[]}"#)), None);
    }

    #[test]
    fn a_whole_list_comes_in_pages_whose_tokens_are_the_protocols() {
        let page = |asked: &Asked, list: &str| {
            paged(asked, 2, |asked| {
                assert!(!asked.target().contains(OWN_TOKEN) && !asked.text().contains(OWN_TOKEN));
                answer(list)
            })
        };
        let list = "<R><vpcSet><item>a</item><item>b</item><item>c</item></vpcSet></R>";
        let vpcs = form("ec2", "Action=DescribeVpcs");
        let first = page(&vpcs, list);
        assert_eq!(first.text(), "<R><vpcSet><item>a</item><item>b</item></vpcSet><nextToken>page-after-2</nextToken></R>");
        let next = Asked::read(following(&vpcs, &first).unwrap(), 1);
        assert_eq!(page(&next, list).text(), "<R><vpcSet><item>c</item></vpcSet></R>");
        let list = r#"{"Keys":["a","b","c"],"Truncated":false}"#;
        let keys = json("kms", "TrentService.ListKeys", r#"{"Limit":2}"#);
        let first = page(&keys, list);
        assert_eq!(first.text(), r#"{"Keys":["a","b"],"NextMarker":"page-after-2","Truncated":true}"#);
        let next = Asked::read(following(&keys, &first).unwrap(), 1);
        assert_eq!(page(&next, list).text(), r#"{"Keys":["c"],"Truncated":false}"#);
        let groups = form("elasticloadbalancing", "Action=DescribeTargetGroups&Version=2015-12-01");
        let list = "<R><DescribeTargetGroupsResult><TargetGroups><member>a</member><member>b</member><member>c</member></TargetGroups></DescribeTargetGroupsResult></R>";
        assert!(
            page(&groups, list)
                .text()
                .contains("</TargetGroups><NextMarker>page-after-2</NextMarker></DescribeTargetGroupsResult>")
        );
    }

    #[test]
    fn what_was_made_is_known_by_its_name_and_ids_and_not_by_those_of_others() {
        let made = |asked: &Asked, text: &str| made(asked, &answer(text));
        let queue = json("sqs", "AmazonSQS.CreateQueue", r#"{"QueueName":"q"}"#);
        assert_eq!(made(&queue, r#"{"QueueUrl":"http://x/1/q"}"#), ["http://x/1/q", "q"]);
        let subnet = form("ec2", "Action=CreateSubnet&VpcId=vpc-1");
        let text = "<R><subnet><subnetId>subnet-1</subnetId><vpcId>vpc-1</vpcId><ownerId>1</ownerId></subnet></R>";
        assert_eq!(made(&subnet, text), ["subnet-1"]);
        let group = form("ec2", "Action=CreateSecurityGroup&GroupName=g&VpcId=vpc-1");
        assert_eq!(made(&group, "<R><groupId>sg-1</groupId></R>"), ["sg-1"]);
        let zone = asked("POST", "/2013-04-01/hostedzone", "route53", &[], "<Name>a</Name>");
        let text = "<R><HostedZone><Id>/hostedzone/Z1</Id></HostedZone><ChangeInfo><Id>/change/C1</Id></ChangeInfo></R>";
        assert_eq!(made(&zone, text), ["/hostedzone/Z1"]);
        let function = asked("POST", "/2015-03-31/functions", "lambda", &[], r#"{"FunctionName":"f"}"#);
        assert_eq!(made(&function, r#"{"FunctionArn":"arn:f"}"#), ["arn:f", "f"]);
        assert_eq!(made(&asked("PUT", "/shop", "s3", &[], ""), ""), ["shop"]);
        let key = json("kms", "TrentService.CreateKey", "{}");
        assert_eq!(made(&key, r#"{"KeyMetadata":{"AWSAccountId":"1","KeyId":"k"}}"#), ["k"]);
        assert!(made(&asked("PUT", "/shop?tagging", "s3", &[], ""), "").is_empty());
        assert!(made(&json("sqs", "AmazonSQS.ListQueues", "{}"), r#"{"QueueUrl":"u"}"#).is_empty());
    }
}
