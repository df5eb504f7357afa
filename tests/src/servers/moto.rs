//! A cloud on the loopback: moto, which stands in for AWS, and the hand of somebody else in it.
//!
//! One server is shared by the tests of a binary ([`Moto::shared`]), each in an account of its own ([`Moto::account`]): accounts see
//! nothing of each other, but for names of buckets, which are the whole world's ([`Cloud::name`]).

use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::cloud_proxy::CloudProxy;
use super::kept::Kept;
use super::{free_port, http};

/// Where an account's things are, unless a test says so.
pub const REGION: &str = "eu-west-1";

/// One server.
pub struct Moto {
    pub port: u16,
    accounts: AtomicUsize,
    caller: Mutex<Caller>,
    _server: Kept,
}

/// An independent client, which ends with its input.
struct Caller {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Drop for Caller {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

impl Moto {
    /// The server that the tests of this binary share; it ends with the process.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Moto> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Another such, whose accounts have the policies that AWS manages (`arn:aws:iam::aws:policy/…`). They cost 5 MB and a sixth of a
    /// second for every account that IAM is asked of, and are nothing to most tests.
    pub fn with_policies() -> &'static Self {
        static SHARED: OnceLock<Moto> = OnceLock::new();
        SHARED.get_or_init(|| Self::start_with(&["MOTO_IAM_LOAD_MANAGED_POLICIES=true"]))
    }

    /// An empty server of one's own.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// An empty server of one's own, with these settings of its environment.
    ///
    /// # Panics
    ///
    /// Where the program is not there or does not start: `tests/run` sees to that.
    pub fn start_with(settings: &[&str]) -> Self {
        let program = env::var_os("TRUEUP_MOTO").map(PathBuf::from).filter(|it| it.exists());
        let program =
            program.expect("no moto_server: tests/run installs one (tests/moto/requirements.txt) and names it in TRUEUP_MOTO");
        // Taken away by the keeper, as nothing is dropped at the end of a process.
        let folder = tempfile::Builder::new().prefix("trueup-moto-").tempdir().map(TempDir::keep).expect("a folder");
        let port = free_port();
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("moto");
        let path = env::var("PATH").unwrap_or_default();
        // Nothing of the user's own (profiles, proxies, endpoints) is looked at.
        let mut arguments = vec!["-i".to_owned(), format!("PATH={path}"), format!("HOME={}", folder.display())];
        // Its own 1291 images cost 4 MB for every account and region that is looked into.
        arguments.push(format!("MOTO_AMIS_PATH={}", own.join("amis.json").display()));
        arguments.extend(settings.iter().map(|it| (*it).to_owned()));
        arguments.extend([program.display().to_string(), "-H".to_owned(), "127.0.0.1".to_owned()]);
        arguments.extend(["-p".to_owned(), port.to_string()]);
        let log = folder.join("server.log");
        let ready = || TcpStream::connect(("127.0.0.1", port)).is_ok() && http(port, "GET", "/moto-api/config", &[], "").0 == 201;
        let server = Kept::start(Path::new("/usr/bin/env"), &arguments, &log, Some(&folder), ready);
        // A function that is called needs no Docker then; it answers what moto is told.
        let (status, answer) =
            http(port, "POST", "/moto-api/config", &[], &json!({ "lambda": { "use_docker": false } }).to_string());
        assert_eq!(status, 201, "{answer}");
        let mut command = Command::new(program.with_file_name("python"));
        command.arg(own.join("caller.py")).arg(format!("http://127.0.0.1:{port}"));
        command.env_clear().envs([("PATH", path.as_str()), ("PYTHONDONTWRITEBYTECODE", "1")]).env("HOME", &folder);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the Python that moto is installed in");
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().expect("a pipe")));
        let caller = Mutex::new(Caller { child, input, output });
        Self { port, accounts: AtomicUsize::new(0), caller, _server: server }
    }

    /// Takes everything away, of all accounts: for a server of one's own.
    pub fn reset(&self) {
        assert_eq!(http(self.port, "POST", "/moto-api/reset", &[], "").0, 200);
    }

    /// An account that no other test has.
    pub fn account(&self) -> Cloud<'_> {
        let number = 100_000_000_001 + self.accounts.fetch_add(1, Ordering::SeqCst);
        self.account_of(&number.to_string())
    }

    /// This account.
    pub fn account_of(&self, account: &str) -> Cloud<'_> {
        Cloud { moto: self, account: account.to_owned(), region: REGION.to_owned() }
    }

    /// A proxy before the server, to count and to inject faults.
    pub fn proxy(&self) -> CloudProxy {
        CloudProxy::before(self.port)
    }
}

/// An account in a region, as somebody sees it who is not us.
#[derive(Clone)]
pub struct Cloud<'a> {
    moto: &'a Moto,
    pub account: String,
    pub region: String,
}

/// What signs requests in an account. No user of the account has it: it is of a role's session.
#[derive(Clone, Debug)]
pub struct Keys {
    pub access_key: String,
    pub secret_key: String,
    pub token: String,
}

/// An error of the cloud. A call that does not even leave has the status 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallError {
    pub status: u16,
    pub code: String,
    pub message: String,
}

impl Cloud<'_> {
    /// `http://127.0.0.1:PORT`
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.moto.port)
    }

    /// The same account in another region.
    pub fn in_region(&self, region: &str) -> Self {
        Self { region: region.to_owned(), ..self.clone() }
    }

    /// A name that no other account's is: buckets need that.
    pub fn name(&self, name: &str) -> String {
        format!("{name}-{}", self.account)
    }

    /// New keys of the account. Each call is a session of its own, as a test may end one.
    #[track_caller]
    pub fn keys(&self) -> Keys {
        let role = format!("arn:aws:iam::{}:role/trueup-tests", self.account);
        let made = self.call("sts", "assume_role", json!({ "RoleArn": role, "RoleSessionName": "tests" }));
        let text = |name: &str| made["Credentials"][name].as_str().expect("a text").to_owned();
        Keys { access_key: text("AccessKeyId"), secret_key: text("SecretAccessKey"), token: text("SessionToken") }
    }

    /// Calls an operation by the names that Python's client gives them (`sqs`, `list_queues`), with its members as AWS names them.
    /// Bytes that are no text come and go as `{"$base64": …}`; times are texts.
    #[track_caller]
    pub fn call(&self, service: &str, operation: &str, input: Json) -> Json {
        self.try_call(service, operation, input).unwrap_or_else(|error| panic!("{service} {operation}: {error:?}"))
    }

    /// All pages of a listing, as one answer.
    #[track_caller]
    pub fn all(&self, service: &str, operation: &str, input: Json) -> Json {
        self.ask(service, operation, input, true).unwrap_or_else(|error| panic!("{service} {operation}: {error:?}"))
    }

    /// [`Cloud::call`]; the error where it is one.
    pub fn try_call(&self, service: &str, operation: &str, input: Json) -> Result<Json, CallError> {
        self.ask(service, operation, input, false)
    }

    fn ask(&self, service: &str, operation: &str, input: Json, all: bool) -> Result<Json, CallError> {
        let asked = json!({
            "service": service, "operation": operation, "input": input, "all": all,
            "account": self.account, "region": self.region,
        });
        let mut line = String::new();
        {
            let mut caller = self.moto.caller.lock().unwrap_or_else(PoisonError::into_inner);
            let input = caller.input.as_mut().expect("a pipe");
            input.write_all(format!("{asked}\n").as_bytes()).expect("the client reads");
            caller.output.read_line(&mut line).expect("the client answers");
        }
        let mut answer: Json =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{service} {operation}: {error}: {line}"));
        let error = &answer["error"];
        if error.is_null() {
            return Ok(answer["answer"].take());
        }
        let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        let status = error["status"].as_u64().and_then(|it| u16::try_from(it).ok()).unwrap_or(0);
        Err(CallError { status, code: text("code"), message: text("message") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_see_nothing_of_each_other() {
        let (mine, theirs) = (Moto::shared().account(), Moto::shared().account());
        mine.call("sqs", "create_queue", json!({ "QueueName": "q" }));
        assert_eq!(theirs.call("sqs", "list_queues", json!({})), json!({}));
        assert_eq!(mine.in_region("us-east-1").call("sqs", "list_queues", json!({})), json!({}));
        let urls = mine.call("sqs", "list_queues", json!({}));
        assert_eq!(urls["QueueUrls"], json!([format!("{}/{}/q", mine.endpoint(), mine.account)]));
    }

    #[test]
    fn keys_are_of_the_account_that_they_are_asked_for() {
        let cloud = Moto::shared().account();
        let keys = cloud.keys();
        assert_ne!(keys.access_key, cloud.keys().access_key);
        let scope = format!("AWS4-HMAC-SHA256 Credential={}/20260101/eu-west-1/sts/aws4_request", keys.access_key);
        let headers = [("Authorization", scope.as_str()), ("Content-Type", "application/x-www-form-urlencoded")];
        let (_, told) = http(Moto::shared().port, "POST", "/", &headers, "Action=GetCallerIdentity&Version=2011-06-15");
        assert!(told.contains(&format!("<Account>{}</Account>", cloud.account)), "{told}");
    }

    #[test]
    fn an_error_is_the_clouds_or_the_calls() {
        let cloud = Moto::shared().account();
        let missing = cloud.try_call("iam", "get_role", json!({ "RoleName": "r" })).unwrap_err();
        assert_eq!((missing.status, missing.code.as_str()), (404, "NoSuchEntity"));
        assert_eq!(cloud.try_call("iam", "get_role", json!({ "Role": "r" })).unwrap_err().status, 0);
    }

    #[test]
    fn all_pages_are_one_answer_and_bytes_come_back_as_they_went() {
        let cloud = Moto::shared().account();
        let name = cloud.name("bytes");
        cloud.call(
            "s3",
            "create_bucket",
            json!({ "Bucket": name, "CreateBucketConfiguration": { "LocationConstraint": REGION } }),
        );
        for (key, body) in [("a", json!("text")), ("b", json!({ "$base64": "/wD/" })), ("c", json!(""))] {
            cloud.call("s3", "put_object", json!({ "Bucket": name, "Key": key, "Body": body }));
        }
        let all = cloud.all("s3", "list_objects_v2", json!({ "Bucket": name, "PaginationConfig": { "PageSize": 1 } }));
        assert_eq!(all["Contents"].as_array().unwrap().len(), 3);
        let body = |key: &str| cloud.call("s3", "get_object", json!({ "Bucket": name, "Key": key }))["Body"].clone();
        assert_eq!((body("a"), body("b")), (json!("text"), json!({ "$base64": "/wD/" })));
    }

    #[test]
    fn a_function_is_made_without_docker() {
        let cloud = Moto::shared().account();
        let role = json!({ "RoleName": "r", "AssumeRolePolicyDocument": "{}" });
        let role = cloud.call("iam", "create_role", role)["Role"]["Arn"].clone();
        // A ZIP archive that is empty.
        let code = json!({ "ZipFile": { "$base64": "UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA==" } });
        let input = json!({ "FunctionName": "f", "Role": role, "Handler": "a.b", "Runtime": "python3.12", "Code": code });
        assert_eq!(cloud.call("lambda", "create_function", input)["State"], "Active");
        assert_eq!(cloud.call("lambda", "invoke", json!({ "FunctionName": "f" }))["StatusCode"], 200);
    }

    #[test]
    fn the_policies_of_aws_are_where_a_test_wants_them() {
        let policy = json!({ "PolicyArn": "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole" });
        let found = Moto::with_policies().account().call("iam", "get_policy", policy.clone());
        assert_eq!(found["Policy"]["PolicyName"], "AWSLambdaBasicExecutionRole");
        assert_eq!(Moto::shared().account().try_call("iam", "get_policy", policy).unwrap_err().status, 404);
    }

    #[test]
    fn a_server_of_ones_own_forgets_everything_when_it_is_told_to() {
        let own = Moto::start();
        let cloud = own.account();
        cloud.call("sqs", "create_queue", json!({ "QueueName": "q" }));
        own.reset();
        assert_eq!(cloud.call("sqs", "list_queues", json!({})), json!({}));
        assert_eq!(cloud.call("ec2", "describe_images", json!({}))["Images"].as_array().unwrap().len(), 4);
    }
}
